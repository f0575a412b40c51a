"""Makes the indexes of the store, once, and refuses one that a newer version of kombu_pool wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo.errors import DuplicateKeyError

from kombu_pool.errors import IncompatibleStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pymongo import IndexModel

    from kombu_pool.drivers.mongodb.client import Client

#: Grows with every change that an older version could not live with.
VERSION = 1
#: The collection that holds, for each plane, ``{"_id": plane, "version": number}``.
SCHEMA = "schema"


def prepare(client: Client, plane: str, indexes: Mapping[str, Sequence[IndexModel]], *, again: bool = False) -> None:
    """See to it that the collections of a plane are there, with these indexes.

    ``again``: also where this process has done so, for somebody may have dropped the database since.

    Raises:
        IncompatibleStore: a newer version wrote them.
    """
    if plane in client.prepared_planes and not again:
        return
    with client.translated():
        found = client.collection(SCHEMA).find_one({"_id": plane})
        if found is None:
            _make(client, plane, indexes)
        elif found["version"] > VERSION:
            raise IncompatibleStore(
                f"{client.location}: a newer version of kombu_pool wrote the {plane} "
                f"(its version {found['version']}; this one knows {VERSION})"
            )
    client.prepared_planes.add(plane)


def _make(client: Client, plane: str, indexes: Mapping[str, Sequence[IndexModel]]) -> None:
    for name, models in indexes.items():
        client.collection(name).create_indexes(list(models))
    try:
        # Last: who finds it need not look whether the indexes are there.
        client.collection(SCHEMA).insert_one({"_id": plane, "version": VERSION})
    except DuplicateKeyError:
        return
