"""The store's layout version, its identity, and the indexes of its planes.

One document of the collection ``schema`` describes the store::

    _id  "store"    layout  the layout version    identity  a random id    planes  the planes whose indexes exist
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb.client import shared_clients
from kombu_pool.errors import IncompatibleStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo import IndexModel

    from kombu_pool.drivers.mongodb.client import Client
    from kombu_pool.drivers.mongodb.location import Location

#: Version of the collections, fields and indexes; raised by every change that another version cannot read.
LAYOUT_VERSION: Final = 11
SCHEMA: Final = "schema"
_ID: Final = {"_id": "store"}
_IDENTITY_BYTES: Final = 16


def prepare(client: Client, plane: str, indexes: Mapping[str, Sequence[IndexModel]], *, again: bool = False) -> None:
    """Check the store's layout and create the indexes of a plane, once per process.

    ``again`` repeats both, as the database may have been dropped since.

    Raises:
        IncompatibleStore: the store has another layout.
    """
    if plane in client.prepared_planes and not again:
        return
    with client.translated():
        # All documents: layout 1 kept one per plane.
        found = list(client.collection(SCHEMA).find()) or [_create(client)]
        for document in found:
            _check(client, document.get("layout", document.get("version")))
        store = next(document for document in found if document["_id"] == _ID["_id"])
        if plane not in store.get("planes", ()):
            for name, models in indexes.items():
                client.collection(name).create_indexes(list(models))
            # Last: a process that finds the plane here relies on its indexes.
            client.collection(SCHEMA).update_one(_ID, {"$addToSet": {"planes": plane}})
    client.identity = store["identity"]
    client.prepared_planes.add(plane)


def is_created(location: Location) -> bool:
    """Return whether the location has a store, of whatever layout version."""
    client = shared_clients.acquire(location)
    try:
        with client.translated():
            return client.collection(SCHEMA).find_one() is not None
    finally:
        shared_clients.release(client)


def _create(client: Client) -> dict[str, Any]:
    """Return the store's document, created unless another process was first."""
    new = {"$setOnInsert": {"layout": LAYOUT_VERSION, "identity": secrets.token_hex(_IDENTITY_BYTES)}}
    upsert: Any = partial(
        client.collection(SCHEMA).find_one_and_update, _ID, new, upsert=True, return_document=ReturnDocument.AFTER
    )
    try:
        document: dict[str, Any] = upsert()
    except DuplicateKeyError:
        # Another process inserted it during the upsert.
        document = upsert()
    return document


def _check(client: Client, layout: object) -> None:
    if layout != LAYOUT_VERSION:
        location = client.location
        raise IncompatibleStore(
            f"{location}: database {location.database!r} has the layout version {layout}, this version of kombu_pool"
            f" needs {LAYOUT_VERSION}: name another database, or drop this one (layouts before 0.1.0 are not migrated)"
        )
