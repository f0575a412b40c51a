"""What is remembered of the catalogue, and told to other processes by a cache that they share."""

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


class ProcessCache:
    """A cache of one process, emptied when it is full. Each call is one step of a dictionary, and so needs no lock."""

    def __init__(self, size: int = 50_000) -> None:
        self._size = size
        self._kept: dict[Any, Any] = {}

    def get(self, key: Any) -> Any:
        """Return what was set; None if nothing was."""
        return self._kept.get(key)

    def set(self, key: Any, value: Any) -> None:
        """Remember the value."""
        if len(self._kept) >= self._size:
            self._kept.clear()
        self._kept[key] = value

    def delete(self, key: Any) -> None:
        """Forget the value."""
        self._kept.pop(key, None)


class SharedNames:
    """Keeps the pool of each queue in a cache with ``get``, ``set`` and ``delete``; without one, for this process only.

    The time is kept along, since a cache may expire its values later than ``ttl`` seconds, or never. A cache that fails
    is only a miss: the catalogue can always be asked instead.
    """

    def __init__(self, cache: Any, ttl: float) -> None:
        self._cache = ProcessCache() if cache is None else cache
        self._ttl = ttl

    def get(self, project: str | None, queue: str, now: float) -> Known | None:
        """Return what is known of the queue; None when that is nothing, or too old."""
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
        try:
            self._cache.set(_key(project, queue), tuple(known))
        except Exception:
            logger.warning("The cache failed; nothing was remembered", exc_info=True)

    def delete(self, project: str | None, queue: str) -> None:
        """Forget the queue's pool."""
        try:
            self._cache.delete(_key(project, queue))
        except KeyError:
            pass
        except Exception:
            logger.warning("The cache failed; what it knows ends with its ttl", exc_info=True)


def _key(project: str | None, queue: str) -> tuple[str, str, str | None, str]:
    # Joined to a string, project "a" with queue "b/c" would be project "a/b" with queue "c", and None would be "None".
    return ("kombu_pool", "pool", project, queue)
