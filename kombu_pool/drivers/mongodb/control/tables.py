"""The collections of the control plane, their documents and indexes.

``p`` is always a project. The other fields:

    registry   one document with all pools and flavors (see registry.py); the epoch; the last number
    queues     q  name     m  metadata
    catalogue  q  queue    o  pool    u  the pool is not verified yet    w  the previous pool, until then
    exchanges  n  name     k  type    d  durable    u  auto-delete    a  arguments    g  generation
    bindings   e  exchange    k  kind and    n  name of the destination    r  routing key    a  arguments    o  order
               f  its state
    usage      q  queue    l  lifetime    s  start of its lifetime    w  earliest time at which it may expire
    holders    q  queue    h  holder    x  its expiry    c  whether it consumes

The fields that identify a document are its ``_id``, too, which is unique even in a collection that was dropped and has
no indexes of ours yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pymongo import ASCENDING, IndexModel, ReturnDocument

from kombu_pool.drivers.mongodb import schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo.collection import Collection

    from kombu_pool.drivers.mongodb.client import Client

PLANE: Final = "control"

REGISTRY: Final = "registry"
QUEUES: Final = "control_queues"
CATALOGUE: Final = "catalogue"
EXCHANGES: Final = "exchanges"
BINDINGS: Final = "bindings"
USAGE: Final = "usage"
HOLDERS: Final = "holders"

_NUMBER = "number"


def _index(name: str, keys: str, **options: Any) -> IndexModel:
    return IndexModel([(key, ASCENDING) for key in keys.split()], name=name, **options)


_INDEXES: Mapping[str, Sequence[IndexModel]] = {
    QUEUES: [_index("names", "p q", unique=True)],
    CATALOGUE: [_index("names", "p q", unique=True), _index("pools", "o"), _index("before", "w", sparse=True)],
    EXCHANGES: [_index("names", "p n", unique=True)],
    BINDINGS: [_index("ways", "p e k n r a", unique=True), _index("destinations", "p k n o")],
    USAGE: [_index("names", "p q", unique=True), _index("waiting", "w", partialFilterExpression={"w": {"$gt": 0}})],
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
