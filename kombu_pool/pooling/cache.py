"""What processes that share a cache tell each other of the catalogue."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)


class Known(NamedTuple):
    """The pool that a queue is assigned to, and when the catalogue said so."""

    pool: str
    since: float

    def holds(self, now: float, ttl: float) -> bool:
        """Tell whether it may still be trusted; a time that lies ahead means that the clock was set back."""
        return self.since <= now < self.since + ttl


class SharedNames:
    """Keeps the pool of each queue in a cache with ``get``, ``set`` and ``delete``; without one, nothing is kept.

    The time is kept along, since a cache may expire its values later than ``ttl`` seconds, or never. A cache that fails
    is only a miss: the catalogue can always be asked instead.
    """

    def __init__(self, cache: Any, ttl: float) -> None:
        self._cache = cache
        self._ttl = ttl

    def get(self, project: str | None, queue: str, now: float) -> Known | None:
        """Return what is known of the queue; None when that is nothing, or too old."""
        if self._cache is None:
            return None
        try:
            # Not `is None`: what a dogpile region answers for a key that it lacks is an object of its own, and falsy.
            found = self._cache.get(_key(project, queue)) or None
            known = Known(*found) if found else None
        except Exception:
            logger.warning("The cache failed; the catalogue is asked instead", exc_info=True)
            return None
        return known if known and known.holds(now, self._ttl) else None

    def set(self, project: str | None, queue: str, known: Known) -> None:
        """Remember the queue's pool."""
        if self._cache is None:
            return
        try:
            self._cache.set(_key(project, queue), tuple(known))
        except Exception:
            logger.warning("The cache failed; nothing was remembered", exc_info=True)

    def delete(self, project: str | None, queue: str) -> None:
        """Forget the queue's pool."""
        if self._cache is None:
            return
        try:
            self._cache.delete(_key(project, queue))
        except KeyError:
            pass
        except Exception:
            logger.warning("The cache failed; what it knows ends with its ttl", exc_info=True)


def _key(project: str | None, queue: str) -> tuple[str, str, str | None, str]:
    # Joined to a string, project "a" with queue "b/c" would be project "a/b" with queue "c", and None would be "None".
    return ("kombu_pool", "pool", project, queue)
