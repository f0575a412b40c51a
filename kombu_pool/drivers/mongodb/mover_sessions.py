"""The sessions of the processes that store the batches of moves.

The server keeps a transaction open whose process died, for up to 90 seconds, and with it the lock on the queue. So the
ids of the sessions of an epoch stand in the queue, for the next process to end what is open there.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo import MongoClient
    from pymongo.client_session import ClientSession

    from kombu_pool.drivers.mongodb.cached_queue import Queue
    from kombu_pool.drivers.mongodb.client import Client

#: Bound of the moves whose sessions a process keeps.
_MAX_SESSIONS: Final = 100


class MoverSessions:
    """The sessions of this process, by queue and epoch."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._sessions: OrderedDict[tuple[bytes, int], tuple[MongoClient[Any], ClientSession]] = OrderedDict()

    def begin(self, queue: Queue, epoch: int) -> Mapping[str, Any]:
        """Return the id of the session for an epoch."""
        session = self.find(queue, epoch)
        if session is None:
            mongo_client = self._client.mongo_client
            session = mongo_client.start_session()
            self._sessions[queue.incarnation, epoch] = mongo_client, session
            while len(self._sessions) > _MAX_SESSIONS:
                self._sessions.popitem(last=False)
        return session.session_id

    def end(self, sessions: Sequence[Mapping[str, Any]]) -> None:
        """End the transactions that are open in the sessions with these ids, also in other processes."""
        for session in sessions:
            self._client.end_transactions(session)

    def find(self, queue: Queue, epoch: int) -> ClientSession | None:
        """Return the session for an epoch; None if this process has not begun it."""
        mongo_client, session = self._sessions.get((queue.incarnation, epoch), (None, None))
        return session if mongo_client is self._client.mongo_client else None
