"""The last batch that a move stored in a queue: a document among the messages that no reader takes for one.

``_id`` is made from the queue, ``a`` is the incarnation of its assignment, and ``k`` has the ids of the source. It is
changed in the transaction that stores the batch.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from kombu_pool.drivers.mongodb.codec import IDEMPOTENCY_RECORD, NEVER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo.client_session import ClientSession

    from kombu_pool.drivers.mongodb.cached_queue import Queue
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Store

_ID_BYTES: Final = 20


def last_batch(store: Store, queue: Queue) -> Sequence[str]:
    """Return the ids of the last batch that was stored in the present incarnation of the queue."""
    return _ids(store.messages.find_one(_filter(queue)), queue)


def replace_batch(store: Store, queue: Queue, ids: Sequence[str], session: ClientSession) -> Sequence[str]:
    """Record another last batch; return the ids of the one before."""
    record = {"s": IDEMPOTENCY_RECORD, "x": NEVER, "a": queue.assigned, "k": list(ids)}
    return _ids(
        store.messages.find_one_and_update(_filter(queue), {"$set": record}, upsert=True, session=session), queue
    )


def _filter(queue: Queue) -> Filter:
    return {"_id": blake2b(queue.incarnation + b"batch", digest_size=_ID_BYTES).digest(), **queue.scope}


def _ids(record: Mapping[str, Any] | None, queue: Queue) -> Sequence[str]:
    return record["k"] if record is not None and record["a"] == queue.assigned else ()
