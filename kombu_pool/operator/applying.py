"""Makes the pools of the catalogue those of the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError
from kombu_pool.operator.pools import add_pool, change_pool
from kombu_pool.pooling import compare_pools
from kombu_pool.storage import CONTROL_POOL, VIRTUAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver
    from kombu_pool.pooling.pool_declarations import PoolDifference

#: What is done with a pool, or is not.
ADD, CHANGE, DIFFERS, UNKNOWN, FAILED = "add", "change", "differs", "not in the settings", "failed"


@dataclass(frozen=True)
class AppliedPool:
    """What is done with a pool: it is added, or changed; it differs, and stays; it is not in the settings; or failed.

    ``what``: the names of the values that differ, or why it failed.
    """

    pool: str
    action: str
    what: list[str] = field(default_factory=list)


def apply_settings(
    store: DataDriver, project: Project, declared: Iterable[Mapping[str, Any]], *, dry_run: bool = False
) -> list[AppliedPool]:
    """Add the pools of the settings that are absent, also a removed one; change their weights, flavors and options.

    A URI stays, and no pool is removed: these are named. ``dry_run``: nothing is changed.

    Raises:
        ConfigurationError: a declaration lacks a key, has an unknown one, or an invalid value.
    """
    declared = list(declared)
    compared = compare_pools(store.control, declared)
    applied = [done for each in compared for done in _apply(store, project, each, dry_run=dry_run)]
    names = {pool["name"] for pool in declared}
    others = [row for row in store.catalog.rows() if row["name"] not in names and row["name"] != CONTROL_POOL]
    applied += [AppliedPool(row["name"], UNKNOWN) for row in others if not (row.get("options") or {}).get(VIRTUAL)]
    return applied


def _apply(store: DataDriver, project: Project, difference: PoolDifference, *, dry_run: bool) -> Iterator[AppliedPool]:
    name, values, keys = difference
    if keys is None:
        call = partial(add_pool, store, project, {"name": name, **values})
        yield _done(name, ADD, [], call, dry_run=dry_run)
        return
    if changed := [key for key in keys if key != "uri"]:
        call = partial(_change, store, project, name, {key: values[key] for key in changed})
        yield _done(name, CHANGE, changed, call, dry_run=dry_run)
    if "uri" in keys:
        yield AppliedPool(name, DIFFERS, ["uri"])


def _done(pool: str, action: str, what: list[str], call: Callable[[], None], *, dry_run: bool) -> AppliedPool:
    try:
        if not dry_run:
            call()
    except KombuPoolError as error:
        return AppliedPool(pool, FAILED, [mask(str(error))])
    return AppliedPool(pool, action, what)


def _change(store: DataDriver, project: Project, name: str, changes: dict[str, Any]) -> None:
    flavor = changes.get("flavor")
    if flavor:
        store.control.flavors_controller.create_if_absent(flavor, project)
    elif "flavor" in changes:
        changes["flavor"] = ""  # None changes nothing.
    change_pool(store, project, name, changes)
