"""Documents that are no messages: their entries in the index of the line end looks that would go on and on.

Who looks where nothing is any more comes to the next entry that there is, over all that a replica set keeps of what is
gone. So a fence stands at the end of each queue's line, where the messages of a priority begin, and, while the queue is
busy, a little after now among what waits. It never expires, and is never in line, for ``x`` is not a time.
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

#: After those in line, before those that wait.
_END: Final = 0.5
#: What a fence has of the random name of its queue's life, so that no other has the same id.
_NAME_BYTES = 7
#: The first byte of ids of the lowest priority, which every queue may be expected to have.
LAST: Final = 255
_MOST: Final = 2**64 - 1


def all_of(scope: Filter) -> Filter:
    """Return the filter of all fences that a queue in one of its lives can have."""
    ids = [at_end(scope)["_id"], _ahead(scope), *(before(scope, first)["_id"] for first in range(LAST + 1))]
    return {**scope, "_id": {"$in": ids}}


def at_end(scope: Filter) -> dict[str, Any]:
    """Return the fence behind a queue's line, and behind all ids: who deletes the last one looks for the next."""
    return {"_id": _named(smallest_id(LAST, _MOST), scope), **scope, "s": _END, "x": None}


def before(scope: Filter, first: int) -> dict[str, Any]:
    """Return the fence before the messages whose ids have that first byte."""
    return {"_id": _named(smallest_id(first), scope), **scope, "s": FREE_NEW, "x": None}


def move_ahead(messages: Collection[dict[str, Any]], scope: Filter, until: float) -> None:
    """See to it that a fence stands among what waits, then or later."""
    new = {"s": DELAYED_OR_CLAIMED, "c": None, "x": None}
    # Nothing is lost with it.
    quick = messages.with_options(write_concern=WriteConcern(w=1))
    # Somebody else may put it there at the same time: as far ahead, or nearly so.
    with suppress(DuplicateKeyError):
        quick.update_one({"_id": _ahead(scope), **scope}, {"$max": {"r": until}, "$setOnInsert": new}, upsert=True)


def _ahead(scope: Filter) -> bytes:
    return _named(smallest_id(LAST, 1), scope)


def _named(message: bytes, scope: Filter) -> bytes:
    name: bytes = scope["i"]
    return message[:-_NAME_BYTES] + name[:_NAME_BYTES]
