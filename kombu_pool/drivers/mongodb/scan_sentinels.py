"""Documents that are no messages: each ends a search of an index where there is no further message.

A search past the last message goes on to the next index entry, over all entries that a replica set keeps of deleted
messages. So each queue has a sentinel after its free messages, one before the messages of each priority, and, while it
is busy, one a little after now among the delayed and claimed messages. A sentinel never expires and never matches the
filter of free messages, as its ``x`` is no time.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pymongo import WriteConcern
from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb.codec import DELAYED_OR_CLAIMED, FREE_NEW, smallest_id

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from kombu_pool.drivers.mongodb.states import Filter

#: State of the end sentinel: after the free messages, before the delayed and claimed ones.
_END: Final = 0.5
#: Number of bytes of the incarnation's random id in the id of a sentinel, which make it unique.
_INCARNATION_BYTES = 7
#: First byte of the ids of the lowest priority, which every queue gets a sentinel for.
LAST: Final = 255
_MAX_NUMBER: Final = 2**64 - 1
#: Stands for an incarnation that no queue has.
_NO_INCARNATION: Final = b""


def usual_sentinels(scope: Filter) -> list[bytes]:
    """Return the ids of the sentinels that every incarnation of a queue has, and of the one that a busy queue has."""
    return [end_sentinel(scope)["_id"], _due_id(scope), priority_sentinel(scope, LAST)["_id"]]


def end_sentinel(scope: Filter) -> dict[str, Any]:
    """Return the sentinel after the free messages and all ids: a deletion of the last searches for the next."""
    return {"_id": _unique(smallest_id(LAST, _MAX_NUMBER), scope), **scope, "s": _END, "x": None}


def end_sentinel_ids() -> Filter:
    """Return the filter of the ids of all end sentinels."""
    first = smallest_id(LAST, _MAX_NUMBER)
    return {"$gte": first, "$lte": first[:-_INCARNATION_BYTES] + b"\xff" * _INCARNATION_BYTES}


def is_sentinel_of(message: bytes, incarnation: bytes) -> bool:
    """Return whether the id of a sentinel may be of that incarnation."""
    return message[-_INCARNATION_BYTES:] == incarnation[:_INCARNATION_BYTES]


def priority_sentinel(scope: Filter, first: int) -> dict[str, Any]:
    """Return the sentinel before the messages whose ids have that first byte."""
    return {"_id": _unique(smallest_id(first), scope), **scope, "s": FREE_NEW, "x": None}


def move_due_sentinel(messages: Collection[dict[str, Any]], scope: Filter, until: float) -> None:
    """Store the sentinel among the delayed and claimed messages at that time, or leave it at a later one."""
    new = {"s": DELAYED_OR_CLAIMED, "c": None, "x": None}
    # The loss of a sentinel costs only time.
    unconfirmed = messages.with_options(write_concern=WriteConcern(w=1))
    # Another process may insert it at the same time, with nearly the same time.
    with suppress(DuplicateKeyError):
        where = {"_id": _due_id(scope), **scope}
        unconfirmed.update_one(where, {"$max": {"r": until}, "$setOnInsert": new}, upsert=True)


def wake_streams(messages: Collection[dict[str, Any]], queue: Filter) -> None:
    """Store a document that no search of a queue finds, and delete it: the change streams of the queue report it."""
    scope = {**queue, "i": _NO_INCARNATION}
    messages.insert_one({**scope, "s": _END, "x": None})
    # All of them: a process may have died before its deletion.
    messages.delete_many(scope)


def _due_id(scope: Filter) -> bytes:
    return _unique(smallest_id(LAST, 1), scope)


def _unique(message: bytes, scope: Filter) -> bytes:
    incarnation: bytes = scope["i"]
    return message[:-_INCARNATION_BYTES] + incarnation[:_INCARNATION_BYTES]
