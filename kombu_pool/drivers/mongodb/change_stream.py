"""A change stream of messages, open while a watch waits."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from pymongo.read_concern import ReadConcern

from kombu_pool.drivers.mongodb import scan_sentinels, states
from kombu_pool.drivers.mongodb.codec import PARTIAL
from kombu_pool.errors import KombuPoolError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Store

logger = logging.getLogger(__name__)

#: Time for which the server holds a request for the next change, in seconds.
_MAX_AWAIT = 1.0
#: Time without a wait after which the stream is closed, in seconds.
_IDLE_TIMEOUT = 2.0
#: Interval before the next try after the server refused a stream or failed, in seconds.
_RETRY_AFTER = 5.0


class Report(Protocol):
    """The callback of a stream."""

    def __call__(
        self, queue: tuple[str, str] | None = None, *, sentinel: bytes | None = None, is_claimable: bool = False
    ) -> None:
        """Take a report of a queue, after the stored form of its project, or of any queue with None.

        A message of it may have become claimable if ``is_claimable``. Else the stream opened or closed; or, with the id
        of a ``sentinel``, the queue of that was deleted, which need not be watched.
        """


class ChangeStream:
    """A change stream of some queues' messages, read by a thread of its own.

    It calls ``report`` after each change that may make a message claimable, after the deletion of a queue, and when it
    opens or closes. While no watch waits there is neither stream nor thread: a busy consumer needs no wake-up.
    """

    def __init__(self, store: Store, queues: Sequence[Filter], report: Report) -> None:
        self._store = store
        self._pipeline = _changes_of(queues)
        self._report = report
        self._lock = threading.Lock()
        self._wanted_at = 0.0
        self._thread: threading.Thread | None = None
        #: Whether the stream reports every change from now on.
        self.is_open = False
        self._retry_at = float("-inf")

    def keep_open(self) -> bool:
        """Open the stream, or keep it open; return False if the server cannot provide one now."""
        with self._lock:
            self._wanted_at = time.monotonic()
            if self._thread is None:
                if self._wanted_at < self._retry_at:
                    return False
                self._thread = threading.Thread(target=self._run, name="kombu_pool watch", daemon=True)
                self._thread.start()
            return True

    def close(self) -> None:
        """Close the stream, without waiting for its thread, which may wait for the server."""
        self._wanted_at = float("-inf")

    def _run(self) -> None:
        try:
            with self._store.client.translated():
                self._read()
        except KombuPoolError as error:
            self._retry_at = time.monotonic() + _RETRY_AFTER
            location = self._store.client.location
            logger.debug("%s: no change stream, next try in %g s: %s", location, _RETRY_AFTER, error)
        finally:
            with self._lock:
                self.is_open, self._thread = False, None
            self._report()

    def _read(self) -> None:
        messages = self._store.messages.with_options(read_concern=ReadConcern("majority"))
        with messages.watch(self._pipeline, max_await_time_ms=int(_MAX_AWAIT * 1000)) as stream:
            self.is_open = True
            self._report()
            while stream.alive and time.monotonic() - self._wanted_at < _IDLE_TIMEOUT:
                change = stream.try_next()
                if change is not None:
                    queue = (change["p"], change["q"]) if "q" in change else None
                    self._report(queue, sentinel=change.get("sentinel"), is_claimable="sentinel" not in change)


def _changes_of(queues: Sequence[Filter]) -> list[dict[str, Any]]:
    """Return the pipeline of the changes that may make a message claimable, or due sooner, and of deletions of queues.

    An update does not contain its queue, so each one wakes every watch. A queue is deleted before its sentinels, of
    which one tells enough.
    """
    new = {
        "operationType": "insert",
        "fullDocument.s": {"$ne": PARTIAL},
        "$or": [{f"fullDocument.{key}": value for key, value in queue.items()} for queue in queues],
    }
    again = {"operationType": "update", "updateDescription.updatedFields.s": {"$in": [*states.FREE_STATES]}}
    sooner = {"operationType": "update", "updateDescription.updatedFields.g": {"$exists": True}}
    deleted = {"operationType": "delete", "documentKey._id": scan_sentinels.end_sentinel_ids()}
    sentinel = {"$cond": [{"$eq": ["$operationType", "delete"]}, "$documentKey._id", "$$REMOVE"]}
    fields = {"_id": 1, "p": "$fullDocument.p", "q": "$fullDocument.q", "sentinel": sentinel}
    return [{"$match": {"$or": [new, again, sooner, deleted]}}, {"$project": fields}]
