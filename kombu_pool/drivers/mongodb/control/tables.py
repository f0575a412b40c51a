"""The collections of the control plane, their documents and indexes.

``p`` is always a project. The other fields:

    registry   one document with all pools and flavors (see registry.py); the epoch; the last number
    queues     q  name     m  metadata, if the queue has a record
               o  pool,    i  incarnation and    f  state of its assignment, if it has one
               v  move of its assignment, if it has one    y  the pools that the move uses
               u  the pools are not verified yet    b  the fields that the assignment replaced, until then
               j  lineage: with it all incarnations of the queue begin, until it is deleted
               l  lifetime    s  start of its lifetime    w  earliest time at which it may expire
               d  mark of the process that is about to expire the queue, or that did
               n  counters of its assignment
    exchanges  n  name     k  type    d  durable    u  auto-delete    a  arguments    g  generation
    bindings   e  exchange    k  kind and    n  name of the destination    r  routing key    a  arguments    o  order
               f  its state    j  lineage of the queue, if given
    holders    q  queue    h  holder    x  its expiry    c  whether it consumes    k  lineage of the queue, if given
               n  it is not confirmed yet

A queue has one document, as only the change of one document is atomic on every server. Its holders have their own:
thousands of consumers would contend for it.

The fields that identify a document are its ``_id``, too, which is unique even in a collection that was dropped and has
no indexes of ours yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb import schema
from kombu_pool.model import DELETING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo.collection import Collection

    from kombu_pool.drivers.mongodb.client import Client

PLANE: Final = "control"

REGISTRY: Final = "registry"
QUEUES: Final = "control_queues"
EXCHANGES: Final = "exchanges"
BINDINGS: Final = "bindings"
HOLDERS: Final = "holders"

#: The index of the queues with a move, and their filter.
MOVES: Final = "moves"
HAS_MOVE: Final[Mapping[str, Any]] = {"v": {"$gt": b""}}

_NUMBER = "number"

#: The parts of a queue's document: its record, its assignment, its lifetime and the start of that.
_RECORD, _ASSIGNMENT, _LIFETIME = ("m",), ("i", "o", "f", "v", "y", "u", "b", "n"), ("l", "s", "w", "d")
PARTS: Final[Mapping[str, Sequence[str]]] = {"record": _RECORD, "assignment": _ASSIGNMENT, "lifetime": _LIFETIME}
#: Matches a document that has no part any more.
_EMPTY: Final = {"m": None, "i": None, "l": None, "s": None}


def _index(name: str, keys: str, **options: Any) -> IndexModel:
    return IndexModel([(key, ASCENDING) for key in keys.split()], name=name, **options)


_INDEXES: Mapping[str, Sequence[IndexModel]] = {
    QUEUES: [
        _index("names", "p q", unique=True),
        _index("pools", "o", sparse=True),
        _index("before", "b.o", sparse=True),
        _index(MOVES, "v", partialFilterExpression=HAS_MOVE),
        _index("move_pools", "y", sparse=True),
        _index("move_pools_before", "b.y", sparse=True),
        _index("deletions", "f", partialFilterExpression={"f": DELETING}),
        _index("waiting", "w", partialFilterExpression={"w": {"$gt": 0}}),
    ],
    EXCHANGES: [_index("names", "p n", unique=True)],
    BINDINGS: [_index("ways", "p e k n r a", unique=True), _index("destinations", "p k n o")],
    HOLDERS: [_index("names", "p q h", unique=True), _index("holders", "h"), _index("lives", "p q x")],
}


class Tables:
    """The control plane's collections by name."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def __getitem__(self, name: str) -> Collection[dict[str, Any]]:
        if PLANE not in self.client.prepared_planes:
            schema.prepare(self.client, PLANE, _INDEXES)
        return self.client.collection(name)

    @property
    def identity(self) -> str:
        """The random id of the store, read again as the database may have been dropped."""
        schema.prepare(self.client, PLANE, _INDEXES, again=True)
        return self.client.identity

    def upsert(self, name: str, where: Mapping[str, Any], update: Any, *, after: bool = True) -> dict[str, Any] | None:
        """Change or insert the document with these identifying fields; return the new one, or the one before."""
        document = ReturnDocument.AFTER if after else ReturnDocument.BEFORE
        try:
            return self[name].find_one_and_update(with_id(where), update, upsert=True, return_document=document)
        except DuplicateKeyError:
            # Another process inserted it during the upsert.
            return self[name].find_one_and_update(with_id(where), update, upsert=True, return_document=document)

    def remove_part(self, part: str, where: Mapping[str, Any]) -> None:
        """Remove a part of a queue's document, and a document that has no other."""
        self.remove_parts(part, where, many=False)

    def remove_parts(self, part: str, where: Mapping[str, Any], *, many: bool = True) -> None:
        """Remove a part of the matching documents of queues, and those that have no other."""
        queues, fields = self[QUEUES], PARTS[part]
        others = {key: None for key in _EMPTY if key not in fields}
        delete, update = (queues.delete_many, queues.update_many) if many else (queues.delete_one, queues.update_one)
        if not delete({**where, **others}).deleted_count or many:
            update(where, {"$unset": dict.fromkeys(fields, "")})

    def remove_empty(self, where: Mapping[str, Any]) -> None:
        """Delete a queue's document if it has no part any more."""
        self[QUEUES].delete_one({**where, **_EMPTY})

    def remove_expired(self, ids: list[Any]) -> None:
        """Delete the documents of expired queues that have no part any more, and the marks of the others."""
        where = {"_id": {"$in": ids}}
        self[QUEUES].delete_many({**where, **_EMPTY})
        self[QUEUES].update_many({**where, "l": None}, {"$unset": {"d": ""}})

    def next_number(self) -> int:
        """Return a number above all previous ones, also of a database that was dropped since."""
        last = {"$add": [{"$ifNull": ["$last", 0]}, 1]}
        document: Any = self[REGISTRY].find_one_and_update(
            {"_id": _NUMBER},
            [{"$set": {"last": {"$max": [last, {"$toLong": "$$NOW"}]}}}],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return int(document["last"])

    def recreate_indexes(self) -> None:
        """Check the layout and the indexes of this plane again, and make the other plane do so."""
        self.client.prepared_planes.clear()
        schema.prepare(self.client, PLANE, _INDEXES)


def with_id(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return identifying fields with the ``_id`` that they form: a filter, or the start of a document."""
    return {"_id": dict(fields), **fields}
