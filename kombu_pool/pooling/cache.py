"""The cache of queue assignments, of one process or shared by several."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)


class CachedAssignment(NamedTuple):
    """The pool of a queue, its incarnation there, when these were read, and before when the queue does not expire.

    ``source``: the fields of a :class:`MoveSource`, while the queue is moving; else None.
    """

    pool: str
    incarnation: str
    read_at: float
    expires: float
    source: tuple[str, str, bool] | None = None

    def is_fresh(self, now: float, ttl: float) -> bool:
        """Return whether the assignment may still be used; one read in the future may not: the clock was set back."""
        return self.read_at <= now < min(self.read_at + ttl, self.expires)


class ProcessCache:
    """A cache of one process, emptied when it is full. Each call is one dictionary operation, so it needs no lock."""

    def __init__(self, size: int = 50_000) -> None:
        self._size = size
        self._values: dict[Any, Any] = {}

    def get(self, key: Any) -> Any:
        """Return the value; None if there is none."""
        return self._values.get(key)

    def set(self, key: Any, value: Any) -> None:
        """Store the value."""
        if len(self._values) >= self._size:
            self._values.clear()
        self._values[key] = value

    def delete(self, key: Any) -> None:
        """Delete the value. Idempotent."""
        self._values.pop(key, None)


class AssignmentCache:
    """Caches the pool of each queue in a cache with ``get``, ``set`` and ``delete``; without one, in this process.

    The time of reading is stored as well, because a cache may expire its values later than ``ttl`` seconds, or never.
    A failure of the cache counts as a miss: the catalogue can always be read instead.
    """

    def __init__(self, cache: Any, ttl: float) -> None:
        self._cache = ProcessCache() if cache is None else cache
        self._ttl = ttl

    def get(self, project: str | None, queue: str, now: float) -> CachedAssignment | None:
        """Return the queue's assignment; None when it is not cached or too old."""
        try:
            # Not `is None`: a dogpile region answers a missing key with an object of its own, which is falsy.
            value = self._cache.get(_key(project, queue)) or None
            cached = CachedAssignment(*value) if value else None
        except Exception:
            logger.warning("Reading the assignment cache failed; reading the catalogue instead", exc_info=True)
            return None
        return cached if cached and cached.is_fresh(now, self._ttl) else None

    def set(self, project: str | None, queue: str, assignment: CachedAssignment) -> None:
        """Store the queue's assignment."""
        try:
            self._cache.set(_key(project, queue), tuple(assignment))
        except Exception:
            logger.warning("Writing the assignment cache failed; the assignment is not cached", exc_info=True)

    def delete(self, project: str | None, queue: str) -> None:
        """Delete the queue's assignment from the cache."""
        try:
            self._cache.delete(_key(project, queue))
        except KeyError:
            pass
        except Exception:
            logger.warning("Deleting from the assignment cache failed; its entry ends with its ttl", exc_info=True)


def _key(project: str | None, queue: str) -> tuple[str, str, str | None, str]:
    # Joined to a string, project "a" with queue "b/c" would equal project "a/b" with queue "c", and None equal "None".
    return ("kombu_pool", "pool", project, queue)
