"""What a message to post must look like in every store, and what its queue's metadata makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kombu_pool import codec
from kombu_pool.errors import InvalidMessage
from kombu_pool.storage.queue_metadata import DEFAULT_MESSAGE_DELAY, DEFAULT_MESSAGE_TTL

if TYPE_CHECKING:
    from kombu_pool.model import DeadLetter, Metadata

#: Longer than anybody waits, and short enough to be added to a time.
MAX_SECONDS = 10**10
MAX_PRIORITY = 255


@dataclass(slots=True)
class ValidMessage:
    """A message that can be stored; ``ttl`` 0 is for ever, ``delay`` None leaves it to the queue."""

    record: bytes
    ttl: float
    delay: float | None
    priority: int
    dead_letter: DeadLetter | None


def validate(message: Any, max_size: int) -> ValidMessage:
    """Return the message if it can be stored.

    Raises:
        InvalidMessage: it cannot; one of its kin if its body cannot.
    """
    if not isinstance(message, dict):
        raise InvalidMessage(f"A message is a dict with a ttl and a body, not {message!r}")
    given = message.get
    ttl, delay, priority = given("ttl"), given("delay"), given("priority")
    return ValidMessage(
        codec.encode(given("body", {}), max_size),
        _seconds("ttl", ttl) if ttl else 0,
        None if delay is None else _seconds("delay", delay),
        _priority(priority) if priority else 0,
        given("dead_letter"),
    )


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= MAX_SECONDS:
        return value
    raise InvalidMessage(f"{name} is a number of seconds from 0 to {MAX_SECONDS}, not {value!r}")


def _priority(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_PRIORITY:
        return value
    raise InvalidMessage(f"priority is a whole number from 0 to {MAX_PRIORITY}, not {value!r}")


def effective_ttl(incoming: ValidMessage, metadata: Metadata) -> float:
    """Return the ttl that the message gets in a queue of that metadata; 0 is for ever."""
    longest = positive_number(metadata, DEFAULT_MESSAGE_TTL)
    return min(incoming.ttl or longest, longest) if longest else incoming.ttl


def effective_delay(incoming: ValidMessage, metadata: Metadata) -> float:
    """Return the delay that the message gets in a queue of that metadata."""
    return positive_number(metadata, DEFAULT_MESSAGE_DELAY) if incoming.delay is None else incoming.delay


def positive_number(metadata: Metadata, key: str) -> float:
    """Return the number that the metadata has there; 0 when it has none, or something that cannot be meant."""
    value = metadata.get(key)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= MAX_SECONDS:
        return value
    return 0
