"""The pools of a broker: their share of new queues, whether they answer, and their size."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers import mask, mask_uri, open_data
from kombu_pool.errors import ConfigurationError, PoolInUse
from kombu_pool.errors import ConnectionError as StoreConnectionError
from kombu_pool.operator import queues
from kombu_pool.pooling import add_pool as create_pool
from kombu_pool.pooling import already_added, call_all, compare_stores

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.model import Pool, Project
    from kombu_pool.pooling import DataDriver


@dataclass(frozen=True)
class PoolRow:
    """A pool; ``queues`` counts those of the project. Its URI has no password, of its options there are the names."""

    pool: str
    weight: int
    flavor: str | None
    queues: int
    uri: str
    options: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PoolHealth:
    """Whether a pool answers; ``created`` is False for a store that no queue has needed yet.

    ``since`` is when it stopped answering, in seconds since the epoch. ``size`` is what its store takes, in bytes: on
    disk, or in the memory of its server, with all else that is there. None is unknown.
    """

    pool: str
    answers: bool
    created: bool
    since: float | None
    reason: str | None
    size: int | None
    version: str | None


def list_pools(store: DataDriver, project: Project) -> list[PoolRow]:
    """Return the pools, by name."""
    queues = Counter(entry["pool"] for entry in store.control.catalogue_controller.list(project))
    return [
        PoolRow(
            row["name"], row["weight"], row["flavor"], queues[row["name"]], mask_uri(row["uri"]),
            sorted(row.get("options") or ()),
        )
        for row in store.catalog.rows()
    ]  # fmt: skip


def check_health(store: DataDriver, timeout: float | None = None) -> list[PoolHealth]:
    """Ask every pool; one that has not answered after ``timeout`` seconds does not answer."""
    timeout = queues.POOL_TIMEOUT if timeout is None else timeout
    calls = {row["name"]: partial(store.pool_health, row) for row in store.catalog.rows()}
    return [_health(pool, found) for pool, found in call_all(calls, timeout).items()]


def _health(pool: str, found: dict[str, Any] | Exception) -> PoolHealth:
    if isinstance(found, Exception):
        return PoolHealth(pool, False, True, None, mask(str(found)), None, None)
    size = found.get("bytes")
    return PoolHealth(
        pool,
        bool(found["storage_reachable"]),
        bool(found.get("created", True)),
        found["since"],
        None if found["reason"] is None else mask(found["reason"]),
        None if size is None else size + (found.get("wal_bytes") or 0),
        found.get("version"),
    )


def add_pool(store: DataDriver, project: Project, pool: Mapping[str, Any]) -> None:
    """Add a pool, whose store must answer, before a queue is assigned to it.

    Raises:
        ConfigurationError: there is a pool of that name.
        PoolAlreadyExists: there is a pool over that store.
        ConnectionError: the store does not answer.
    """
    if store.control.pools_controller.exists(pool["name"]):
        raise already_added(pool["name"])
    require_alive(pool["uri"], pool.get("options"))
    create_pool(store.control, pool, project)


def change_pool(
    store: DataDriver, project: Project, name: str, changes: Mapping[str, Any], *, force: bool = False
) -> None:
    """Change a pool; its queues stay in it: to another store it can lead only if it has none, or with ``force``.

    Raises:
        PoolInUse: it has queues, and the new URI or options lead to another store.
        ConfigurationError: it has queues, and whether the new URI or options lead to their store cannot be told.
        ConnectionError: the new store, or the store with the new options, does not answer.
    """
    uri, options = changes.get("uri"), changes.get("options")
    if uri is not None or options is not None:
        found = store.control.pools_controller.get(name, detailed=True)
        options = found.get("options") if options is None else options
        uri = found["uri"] if uri is None else uri
        if not force:
            _require_store(store, project, found, uri, options)
        require_alive(uri, options)
    store.control.pools_controller.update(name, **changes)


def _require_store(
    store: DataDriver, project: Project, found: Pool, uri: str, options: Mapping[str, Any] | None
) -> None:
    """Raise an error unless the pool has no queues, or the URI and the options lead to their store."""
    name = found["name"]
    try:
        store.control.pools_controller.require_unused(name)
    except PoolInUse as error:
        compared = compare_stores(store.control, found, uri, project, options)
        if compared.fault:
            raise ConfigurationError(
                f"Pool {name!r} has {error.queues} queue(s), and nothing shows that {mask_uri(uri)} is their store: "
                f"they are not there, and the pool's store cannot be compared ({compared.fault}). To leave its "
                f"messages: celery pool set {name} {_changed(found, uri)} --force"
            ) from error
        if not compared.is_same:
            raise


def _changed(found: Pool, uri: str) -> str:
    return "--options ..." if uri == found["uri"] else f"--uri {mask_uri(uri)}"


def require_alive(uri: str, options: Mapping[str, Any] | None = None) -> None:
    """Raise ConnectionError if the store does not answer."""
    with closing(open_data(uri, options=options)) as store:
        if not store.is_alive():
            raise StoreConnectionError(f"{mask_uri(uri)} does not answer")
