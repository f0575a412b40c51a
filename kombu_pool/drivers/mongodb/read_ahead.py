"""What a look saw behind the messages that were lent then, for whoever lends the next ones right after that.

While one process lends a few messages after the other, most of its looks would find what the look before went past. A
claim takes of these only what is still free and as it was; what came to stand before them since then it may miss for as
long as they are kept, unless this very process put it there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    Stored = dict[str, Any]

#: Seconds for which they are kept; between two looks of which the later one looks further; and for which none does once
#: that was to no use.
_FRESH: Final = 0.02
_SPELL: Final = 0.1
_PAUSE: Final = 1.0
#: How many times as many as wanted are looked at, how many at the most, and how many bytes are not too many.
_WIDER: Final = 4
_MOST: Final = 32
_HEAVY: Final = 1 << 18
_NOTHING: Final = (float("-inf"), ())


class ReadAhead:
    """Messages of one queue that stood in line a moment ago. Only a guess, so it needs no lock."""

    def __init__(self) -> None:
        #: They, and when the look began that saw them.
        self._seen: tuple[float, Sequence[Stored]] = _NOTHING
        self._forgotten_at = self._spell_until = self._paused_until = float("-inf")

    def take(self, count: int) -> Sequence[Stored]:
        """Return the first of those that are left, or none if they are too few or too old."""
        (began, seen), self._seen = self._seen, _NOTHING
        if len(seen) < count or time.monotonic() >= began + _FRESH:
            return ()
        self._put(seen[count:], began)
        return seen[:count]

    def reach(self, count: int) -> int:
        """Return how many to look at for so many: more, when one look follows the other."""
        now = time.monotonic()
        is_spell, self._spell_until = now < self._spell_until, now + _SPELL
        return min(_WIDER * count, max(count, _MOST)) if is_spell and now >= self._paused_until else count

    def keep(self, seen: Sequence[Stored], count: int, began: float) -> Sequence[Stored]:
        """Keep what a look saw behind the first so many, and return these; ``began`` is when it did, monotonic."""
        first, rest = seen[:count], seen[count:]
        if rest and sum(len(one["b"]) for one in rest) > _HEAVY:
            self.pause()
        else:
            self._put(rest, began)
        return first

    def _put(self, seen: Sequence[Stored], began: float) -> None:
        self._seen = began, seen
        # Looked at after that, and set before they are forgotten: another thread may do so at any time.
        if began <= self._forgotten_at:
            self._seen = _NOTHING

    def forget(self) -> None:
        """Forget them, and what is being looked at: something may stand before them now."""
        self._forgotten_at = time.monotonic()
        self._seen = _NOTHING

    def pause(self) -> None:
        """Look no further than needed for a while: others take them as well, or they are large."""
        self._seen = _NOTHING
        self._paused_until = time.monotonic() + _PAUSE
