"""What this process lent and nobody else can have by now, so that it need not be asked before it is deleted."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Seconds before its end from which on a claim is not relied on.
_SLACK: Final = 1.0
#: Messages that are remembered; who is forgotten is asked for.
_MOST = 100_000


class _Term:
    """Until when a claim lives, at the least."""

    __slots__ = ("__weakref__", "end")

    def __init__(self, end: float) -> None:
        self.end = end


class ClaimCache:
    """Messages by the claims that hold them. Threads may use it together: each step is one of a dictionary's own."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._held: dict[str, tuple[str, _Term]] = {}
        self._terms: weakref.WeakValueDictionary[str, _Term] = weakref.WeakValueDictionary()

    def add(self, claim: str, messages: Iterable[str], end: float) -> None:
        """Note that a claim holds messages until then, unless it is renewed."""
        if len(self._held) > _MOST or self._pid != os.getpid():
            self._held.clear()
            self._pid = os.getpid()
        term = self._terms.get(claim)
        if term is None:
            term = self._terms[claim] = _Term(end)
        for message in messages:
            self._held[message] = claim, term

    def renew(self, claim: str, end: float) -> None:
        """Note that a claim lives until then."""
        if (term := self._terms.get(claim)) is not None:
            term.end = end

    def end(self, claim: str) -> None:
        """Note that a claim holds nothing any more."""
        self.renew(claim, float("-inf"))

    def discard(self, messages: Iterable[str]) -> None:
        """Forget messages, whoever holds them."""
        for message in messages:
            self._held.pop(message, None)

    def holds_all(self, held: Iterable[tuple[str, str]], now: float) -> bool:
        """Tell whether each (message, claim) is so for certain; what was lent before a fork, two processes hold."""
        if self._pid != os.getpid():
            return False
        for message, claim in held:
            found = self._held.get(message)
            if found is None or found[0] != claim or found[1].end < now + _SLACK:
                return False
        return True
