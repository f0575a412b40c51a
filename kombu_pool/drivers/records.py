"""Records that several processes change, and the stored form of their values."""

from __future__ import annotations

import math
import random
import time
from typing import TYPE_CHECKING, Any

from kombu_pool import codec
from kombu_pool.errors import (
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    CorruptRecord,
)
from kombu_pool.model import MAX_EXACT_AGE, Age

if TYPE_CHECKING:
    from collections.abc import Callable

#: Attempts at a change, each after another process changed the record, and the bounds of the pause before the next
#: one, in seconds: 50 processes that start together succeed, and a change fails after at most 10 s.
_MAX_ATTEMPTS = 100
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.1


def change(attempt: Callable[[], bool], name: str) -> None:
    """Call ``attempt``, which reads and replaces a record, until no other process replaced the record in between.

    Raises:
        ConnectionError: other processes did so each time.
    """
    for number in range(_MAX_ATTEMPTS):
        if attempt():
            return
        time.sleep(pause_after(number))
    raise ConnectionError(f"other processes changed the {name} {_MAX_ATTEMPTS} times meanwhile: try again")


def pause_after(number: int) -> float:
    """Return the random pause, in seconds, after attempt ``number``, from 0, at a change that others prevented."""
    return random.uniform(0, min(_FIRST_PAUSE * 2 ** min(number, 16), _LONGEST_PAUSE))  # noqa: S311 - nothing secret


def to_bytes(text: str | None) -> bytes | None:
    """Return the stored form of a text: bytes, as UTF-8 has no lone surrogates, and a text may."""
    return None if text is None else text.encode("utf-8", "surrogatepass")


def to_text(stored: bytes | None) -> Any:
    """Return a text from its stored form."""
    return None if stored is None else stored.decode("utf-8", "surrogatepass")


def escape_surrogates(text: str) -> str:
    """Return a text that UTF-8 can encode: lone surrogates, which a name may hold, become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def to_seconds(stored: float) -> float:
    """Return a duration as it was given: an int if it is whole."""
    return int(stored) if math.isfinite(stored) and stored == int(stored) else stored


def is_finite(seconds: Any) -> bool:
    """Return whether a stored time is a finite number."""
    return isinstance(seconds, int | float) and math.isfinite(seconds)


def age_of(created: Any, ttl: Any, now: float) -> int:
    """Return the age of a message by the stored time of its post and its ttl.

    Raises:
        CorruptRecord: one of them is no finite number.
    """
    try:
        if not (created + ttl) * 0:  # NaN for an infinite and for an undefined number
            age = now - created
            return Age.of(age) if ttl and 0 <= age < MAX_EXACT_AGE else max(0, int(age))
    except TypeError:
        pass
    raise CorruptRecord(f"the time of its post is {created!r}, its ttl is {ttl!r}")


def readable(record: bytes) -> bytes:
    """Return a record, or that of the body None if it cannot be decoded."""
    try:
        codec.decode(record)
    except CorruptRecord:
        return codec.encode(None, 1)
    return record


def moved_expiry(expires: float, before: float | None, after: float | None, now: float) -> float:
    """Return the expiry of a message whose due time changes; None stands for a message that is free."""
    return expires + (now if after is None else after) - (now if before is None else before)
