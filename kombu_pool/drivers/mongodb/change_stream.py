"""Hears of what happens to messages, by a change stream, as long as somebody waits for it."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from pymongo.read_concern import ReadConcern

from kombu_pool.drivers.mongodb import states
from kombu_pool.drivers.mongodb.codec import PARTIAL
from kombu_pool.errors import KombuPoolError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Store

logger = logging.getLogger(__name__)

#: Seconds for which the server keeps a question open.
_QUESTION = 1.0
#: Seconds after which the stream is closed that nobody waited for.
_IDLE_TIMEOUT = 2.0
#: Seconds for which a server is not asked again that refused to tell, or could not.
_RETRY_AFTER = 5.0


class Heard(Protocol):
    """Who wants to know."""

    def __call__(self, *, news: bool) -> None:
        """Hear of a change, or, without ``news``, look for oneself."""


class Listener:
    """A change stream of some queues' messages, read by a thread of its own.

    It tells ``heard`` of each change that may let something be claimed, and when it begins and ends to listen. While
    nobody waits there is neither stream nor thread: who is busy consuming need not be told that there is something to
    consume.
    """

    def __init__(self, store: Store, places: Sequence[Filter], heard: Heard) -> None:
        self._store = store
        self._pipeline = _news_of(places)
        self._heard = heard
        self._lock = threading.Lock()
        self._wanted = 0.0
        self._thread: threading.Thread | None = None
        #: Whether every change from now on will be told.
        self.listens = False
        self._not_before = float("-inf")

    def want(self) -> bool:
        """Listen for a while from now on; return False when the server would not tell, so that one has to look."""
        with self._lock:
            self._wanted = time.monotonic()
            if self._thread is None:
                if self._wanted < self._not_before:
                    return False
                self._thread = threading.Thread(target=self._run, name="kombu_pool watch", daemon=True)
                self._thread.start()
            return True

    def close(self) -> None:
        """Listen no longer. Does not wait for the thread, which may be in the middle of a question."""
        self._wanted = float("-inf")

    def _run(self) -> None:
        try:
            with self._store.client.translated():
                self._listen()
        except KombuPoolError as error:
            self._not_before = time.monotonic() + _RETRY_AFTER
            logger.debug("%s: no news from it: %s", self._store.client.location, error)
        finally:
            with self._lock:
                self.listens, self._thread = False, None
            self._heard(news=False)

    def _listen(self) -> None:
        messages = self._store.messages.with_options(read_concern=ReadConcern("majority"))
        with messages.watch(self._pipeline, max_await_time_ms=int(_QUESTION * 1000)) as stream:
            self.listens = True
            self._heard(news=False)
            while stream.alive and time.monotonic() - self._wanted < _IDLE_TIMEOUT:
                if stream.try_next() is not None:
                    self._heard(news=True)


def _news_of(places: Sequence[Filter]) -> list[dict[str, Any]]:
    """Return the pipeline that keeps what may let something be claimed.

    A message that changes does not say which queue it is of: who hears of it looks.
    """
    new = {
        "operationType": "insert",
        "fullDocument.s": {"$ne": PARTIAL},
        "$or": [{f"fullDocument.{key}": value for key, value in queue_filter.items()} for queue_filter in places],
    }
    back = {"operationType": "update", "updateDescription.updatedFields.s": {"$in": [*states.FREE_STATES]}}
    return [{"$match": {"$or": [new, back]}}, {"$project": {"_id": 1}}]
