"""Free messages that a scan read beyond those that were claimed, for the next claims of this process.

A process that claims a few messages at a time would mostly scan what its last scan passed. A claim takes a message from
here only if it is still free and unchanged. It may miss a message that another process put before these, for as long as
they are kept; not one that this process put there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    Stored = dict[str, Any]

#: Lifetime of the messages, in seconds; the interval between two scans within which the later one reads ahead; and the
#: time without reading ahead after it was of no use.
_TTL: Final = 0.02
_STREAK_INTERVAL: Final = 0.1
_PAUSE: Final = 1.0
#: Multiple of the claim's limit that a scan reads, the bound of that number, and the bound of the kept bytes.
_FACTOR: Final = 4
_MAX_MESSAGES: Final = 32
_MAX_BYTES: Final = 1 << 18
_EMPTY: Final = (float("-inf"), ())


class ReadAhead:
    """Messages of one queue that were free a moment ago. It needs no lock, as each claim checks them."""

    def __init__(self) -> None:
        #: The start of the scan that read them, and the messages.
        self._kept: tuple[float, Sequence[Stored]] = _EMPTY
        self._cleared_at = self._streak_until = self._paused_until = float("-inf")

    def take(self, count: int) -> Sequence[Stored]:
        """Return the first of the messages; none if they are fewer than ``count``, or too old."""
        (began, messages), self._kept = self._kept, _EMPTY
        if len(messages) < count or time.monotonic() >= began + _TTL:
            return ()
        self._put(messages[count:], began)
        return messages[:count]

    def scan_size(self, count: int) -> int:
        """Return the number of messages to scan for a claim of ``count``: more if one scan follows the other."""
        now = time.monotonic()
        is_streak, self._streak_until = now < self._streak_until, now + _STREAK_INTERVAL
        return min(_FACTOR * count, max(count, _MAX_MESSAGES)) if is_streak and now >= self._paused_until else count

    def keep(self, scanned: Sequence[Stored], count: int, began: float) -> Sequence[Stored]:
        """Keep the messages behind the first ``count``, and return those; ``began`` is the scan's monotonic start."""
        first, rest = scanned[:count], scanned[count:]
        if rest and sum(len(one["b"]) for one in rest) > _MAX_BYTES:
            self.pause()
        else:
            self._put(rest, began)
        return first

    def _put(self, messages: Sequence[Stored], began: float) -> None:
        self._kept = began, messages
        # Checked after the assignment, and set before the messages are cleared: another thread may clear at any time.
        if began <= self._cleared_at:
            self._kept = _EMPTY

    def clear(self) -> None:
        """Remove the messages, and those of a scan that is running: another message may be before them."""
        self._cleared_at = time.monotonic()
        self._kept = _EMPTY

    def pause(self) -> None:
        """Read nothing ahead for the length of a pause: other processes claim the messages, or they are large."""
        self._kept = _EMPTY
        self._paused_until = time.monotonic() + _PAUSE
