"""The messages under live claims of this process, which it may delete without reading them first."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Time before the end of a claim from which on the cache does not vouch for it, in seconds.
_SLACK: Final = 1.0
#: Bound of the cached messages; a message beyond it is read before it is deleted.
_MAX_MESSAGES = 100_000


class _ClaimEnd:
    """The earliest end of a claim."""

    __slots__ = ("__weakref__", "at")

    def __init__(self, at: float) -> None:
        self.at = at


class ClaimCache:
    """Messages with their claims. Threads may share it: each step is one atomic operation of a dictionary."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._claims: dict[str, tuple[str, _ClaimEnd]] = {}
        self._ends: weakref.WeakValueDictionary[str, _ClaimEnd] = weakref.WeakValueDictionary()

    def add(self, claim: str, messages: Iterable[str], end: float) -> None:
        """Record that a claim holds messages until ``end``, unless it is renewed."""
        if len(self._claims) > _MAX_MESSAGES or self._pid != os.getpid():
            self._claims.clear()
            self._pid = os.getpid()
        claim_end = self._ends.get(claim)
        if claim_end is None:
            claim_end = self._ends[claim] = _ClaimEnd(end)
        for message in messages:
            self._claims[message] = claim, claim_end

    def renew(self, claim: str, end: float) -> None:
        """Record the new end of a claim."""
        if (claim_end := self._ends.get(claim)) is not None:
            claim_end.at = end

    def end(self, claim: str) -> None:
        """Record that a claim holds nothing any more."""
        self.renew(claim, float("-inf"))

    def discard(self, messages: Iterable[str]) -> None:
        """Remove messages under any claim."""
        for message in messages:
            self._claims.pop(message, None)

    def holds_all(self, held: Iterable[tuple[str, str]], now: float) -> bool:
        """Return whether each (message, claim) is certain; after a fork none is, as two processes have the claims."""
        if self._pid != os.getpid():
            return False
        for message, claim in held:
            found = self._claims.get(message)
            if found is None or found[0] != claim or found[1].at < now + _SLACK:
                return False
        return True
