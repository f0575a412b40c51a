"""Validation of messages to post, the same in every store, and the effect of their queue's metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from kombu_pool import codec
from kombu_pool.errors import ConfigurationError, InvalidClaim, InvalidMessage, MessageTooLarge
from kombu_pool.model import DROP, EXTEND, REPLACE, UNFINISHED, WAITING, Uniqueness
from kombu_pool.storage.queue_metadata import DEFAULT_MESSAGE_DELAY, DEFAULT_MESSAGE_TTL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.model import DeadLetter, Metadata

#: Longest duration, in seconds: beyond any use, and small enough to be added to a time.
MAX_SECONDS = 10**10
MAX_PRIORITY = 255
#: Longest key of a message, in bytes of UTF-8: that of a short string of AMQP.
MAX_KEY_BYTES = 255
_CHANGEABLE = ("subscriber", "ttl", "options")


class ValidMessage(Struct):
    """A message that can be stored; ``ttl`` 0: it never expires; ``delay`` None: the queue's default."""

    record: bytes
    ttl: float
    delay: float | None
    priority: int
    dead_letter: DeadLetter | None
    key: str | None = None
    unique: Uniqueness | None = None


def validate(message: Any, max_size: int) -> ValidMessage:
    """Return the message in its valid form, with its body encoded.

    Raises:
        InvalidMessage: the message cannot be stored; a subclass if its body cannot.
    """
    if not isinstance(message, dict):
        raise InvalidMessage(f"a message must be a dict with a ttl and a body, not {message!r}")
    given = message.get
    ttl, delay, priority, key = given("ttl"), given("delay"), given("priority"), given("key")
    record = given("record")
    return ValidMessage(
        codec.encode(given("body", {}), max_size) if record is None else _record(record, max_size),
        _seconds("ttl", ttl) if ttl else 0,
        None if delay is None else _seconds("delay", delay),
        check_priority(priority) if priority else 0,
        given("dead_letter"),
        None if key is None or key == "" else _key(key),
        None if (unique := given("unique")) is None else check_uniqueness(unique),
    )


def check_claim(metadata: Any) -> None:
    """Raise InvalidClaim unless the metadata are those of a claim: two durations, and a holder if it is named."""
    if not isinstance(metadata, dict):
        raise InvalidClaim(f"the metadata of a claim must be a dict with ttl and grace, not {metadata!r}")
    for name in ("ttl", "grace"):
        value = metadata.get(name)
        if not _is_duration(value):
            raise InvalidClaim(f"{name} of a claim must be a number of seconds from 0 to {MAX_SECONDS}, not {value!r}")
    holder = metadata.get("holder", "")
    if not isinstance(holder, str):
        raise InvalidClaim(f"the holder of a claim must be a text, not {holder!r}")


def check_sort(sort: object) -> None:
    """Raise ValueError for a ``sort`` that is neither 1 nor -1."""
    if sort not in (1, -1):
        raise ValueError(f"sort must be 1 (first message) or -1 (last message), not {sort!r}")


def check_subscription_changes(changes: Mapping[str, object]) -> None:
    """Raise ConfigurationError unless the changes name a field of a subscription that can change, and no other."""
    if not changes or not set(changes) <= set(_CHANGEABLE):
        raise ConfigurationError(f"a subscription can change {', '.join(_CHANGEABLE)}; given: {sorted(changes)}")


def _record(value: Any, max_size: int) -> bytes:
    if not isinstance(value, bytes):
        raise InvalidMessage(f"record must be the bytes of an encoded body, not {value!r}")
    if len(value) > max_size:
        raise MessageTooLarge(len(value), max_size)
    return value


def _seconds(name: str, value: Any) -> float:
    if _is_duration(value):
        seconds: float = value
        return seconds
    raise InvalidMessage(f"{name} must be a number of seconds from 0 to {MAX_SECONDS}, not {value!r}")


def _is_duration(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= MAX_SECONDS


def check_priority(value: Any) -> int:
    """Return the priority of a message.

    Raises:
        InvalidMessage: it is none.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_PRIORITY:
        return value
    raise InvalidMessage(f"priority must be a whole number from 0 to {MAX_PRIORITY}, not {value!r}")


def _key(value: Any) -> str:
    if is_key(value):
        key: str = value
        return key
    raise InvalidMessage(f"a key must be a text of at most {MAX_KEY_BYTES} bytes, not {value!r}")


def check_uniqueness(value: Any) -> Uniqueness:
    """Return the uniqueness of a message.

    Raises:
        InvalidMessage: it is none.
    """
    try:
        name, scope, conflict = value
    except (TypeError, ValueError):
        raise InvalidMessage(f"the uniqueness of a message has an id, a scope and a conflict, not {value!r}") from None
    if not is_key(name):
        raise InvalidMessage(f"the id of a unique message must be a text of 1 to {MAX_KEY_BYTES} bytes, not {name!r}")
    if scope not in (WAITING, UNFINISHED) and not (_is_duration(scope) and scope > 0):
        raise InvalidMessage(
            f"the scope of a unique message must be {WAITING}, {UNFINISHED} or a number of seconds, not {scope!r}"
        )
    if conflict not in (DROP, REPLACE, EXTEND):
        raise InvalidMessage(
            f"a conflict of unique messages must be resolved by {DROP}, {REPLACE} or {EXTEND}, not {conflict!r}"
        )
    return Uniqueness(name, scope, conflict)


def is_key(value: object) -> bool:
    """Return whether the value is a text that may be the key of a message."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_KEY_BYTES:
        return False
    if value.isascii():
        return True
    try:
        return len(value.encode()) <= MAX_KEY_BYTES
    except UnicodeEncodeError:  # lone surrogates
        return False


def is_time(value: object) -> bool:
    """Return whether the value is a time in seconds since the epoch that a message may be due at."""
    return _is_duration(value)


def effective_ttl(incoming: ValidMessage, metadata: Metadata) -> float:
    """Return the message's ttl in a queue of that metadata; 0: it never expires.

    The queue's longest ttl counts from the end of the message's delay.
    """
    longest = positive_number(metadata, DEFAULT_MESSAGE_TTL)
    if not longest:
        return incoming.ttl
    longest += effective_delay(incoming, metadata)
    return min(incoming.ttl or longest, longest)


def effective_delay(incoming: ValidMessage, metadata: Metadata) -> float:
    """Return the message's delay in a queue of that metadata."""
    return positive_number(metadata, DEFAULT_MESSAGE_DELAY) if incoming.delay is None else incoming.delay


def positive_number(metadata: Metadata, key: str) -> float:
    """Return the metadata's number under that key; 0 if it is absent or no valid number."""
    value = metadata.get(key)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= MAX_SECONDS:
        return value
    return 0
