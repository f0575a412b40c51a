"""Values as a reader of a page sees them: numbers, ages, sizes, times, and texts without control characters."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from kombu_pool.operator.formats import format_age, format_size
from kombu_pool.web.sparklines import polygon, polyline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: From here on a rate is shown without decimals.
_HIGH_RATE = 10


def visible(value: Any) -> str:
    """Return a text with each character that is not printable as an escape."""
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape", "replace").decode() for one in text)


def number(value: float | None) -> str:
    """Return a number with narrow spaces between thousands; "?" for an unknown one."""
    return "?" if value is None else f"{value:,}".replace(",", "\u202f")


def counted(value: float | None, what: str) -> str:
    """Return a number with its noun: 1 message, 2 messages."""
    return f"{number(value)} {what}{'' if value == 1 else 's'}"


def rate(value: float | None) -> str:
    """Return a rate; nothing for an unknown one."""
    if value is None:
        return ""
    return number(round(value)) if abs(value) >= _HIGH_RATE else f"{value:.1f}".removesuffix(".0")


def age(seconds: float | None) -> str:
    """Return a duration in its two largest units."""
    return format_age(seconds) or ""


def size(value: float | None) -> str:
    """Return a number of bytes in the largest unit of which there is one."""
    return format_size(value) or ""


def moment(seconds: float | None) -> str:
    """Return a time, given in seconds since the epoch, in UTC."""
    if seconds is None:
        return ""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g}"


def since(seconds: float | None) -> str:
    """Return how long ago a time was, or in how long it is."""
    if seconds is None:
        return ""
    passed = time.time() - seconds
    # A whole second may lie ahead.
    return f"{age(passed)} ago" if passed > -1 else f"in {age(-passed)}"


def literal(pattern: str) -> str:
    """Return a pattern that matches only this text."""
    return "".join(f"[{one}]" if one in "*?[" else one for one in pattern)


def trend(points: Sequence[int | None]) -> str:
    """Return the first, the highest and the last of the points in words."""
    known = [point for point in points if point is not None]
    return f"first {known[0]}, highest {max(known)}, last {known[-1]}" if known else "unknown"


FILTERS: dict[str, Callable[..., str]] = {
    "literal": literal,
    "polygon": polygon,
    "polyline": polyline,
    "trend": trend,
    "visible": visible,
    "number": number,
    "rate": rate,
    "age": age,
    "size": size,
    "moment": moment,
    "since": since,
}
