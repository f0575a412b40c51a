"""Looks for what is wrong with a broker and does not show in the counts of its queues."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import KombuPoolError, PoolNotCreated
from kombu_pool.model import ACTIVE
from kombu_pool.operator.queues import ask, reason_of
from kombu_pool.pooling import pool_differences

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver
    from kombu_pool.pooling.pool_handle import PoolHandle

#: Queues of one pool that are compared with the catalogue, and names that a finding lists.
MAX_QUEUES, _MAX_LISTED = 10_000, 5


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: which check found it, on which pool or queue, and what to do."""

    check: str
    subject: str
    problem: str


@dataclass(frozen=True)
class _Store:
    """A pool's store: its identity, and the project's queues in it."""

    identity: str
    queues: list[str]


@dataclass(frozen=True)
class _Look:
    """The assignments of queues, the names of the pools, and the stores and errors by pool, at one time."""

    assigned: Mapping[str, str]
    pools: Sequence[str]
    stores: Mapping[str, _Store]
    errors: Mapping[str, KombuPoolError]


def examine(
    store: DataDriver, project: Project, declared: Sequence[Mapping[str, Any]] = (), timeout: float | None = None
) -> list[Finding]:
    """Return what is wrong: with the assignments of queues, the pools, and the settings that declare pools."""
    look = _look(store, project, timeout)
    strays = _strays(store, project, look)
    if strays:
        # A queue that was declared or deleted during a look is in order at the next one.
        again = _strays(store, project, _look(store, project, timeout))
        strays = {
            place: [queue for queue in queues if queue in again.get(place, ())] for place, queues in strays.items()
        }
    return [
        *_unreachable(look),
        *_shared(look.stores),
        *(finding for (check, pool), queues in strays.items() if queues for finding in _findings(check, pool, queues)),
        *(Finding("settings", pool, text) for pool, text in pool_differences(store.control, declared)),
    ]


def _look(store: DataDriver, project: Project, timeout: float | None) -> _Look:
    pools = [row["name"] for row in store.catalog.rows()]
    assigned = {entry["queue"]: entry["pool"] for entry in store.control.catalogue_controller.list(project)}
    answers = ask(store, {pool: partial(_examine_store, project=project) for pool in pools}, timeout)
    errors = {pool: answer for pool, answer in answers.items() if isinstance(answer, KombuPoolError)}
    stores = {pool: answer for pool, answer in answers.items() if not isinstance(answer, KombuPoolError)}
    return _Look(assigned, pools, stores, errors)


def _examine_store(pool: PoolHandle, project: Project) -> _Store:
    driver = pool.driver
    page = next(pool.queues.list(project, limit=MAX_QUEUES))
    return _Store("" if driver is None else driver.identity, [queue["name"] for queue in page])


def _unreachable(look: _Look) -> Iterator[Finding]:
    """Yield the pools that do not answer; one without queues may have no store yet."""
    in_use = set(look.assigned.values())
    for pool, error in look.errors.items():
        if pool in in_use or not isinstance(error, PoolNotCreated):
            yield Finding("unreachable", pool, reason_of(pool, error))


def _shared(stores: Mapping[str, _Store]) -> Iterator[Finding]:
    by_identity: dict[str, list[str]] = {}
    for pool, each in stores.items():
        if each.identity:
            by_identity.setdefault(each.identity, []).append(pool)
    for pools in by_identity.values():
        if len(pools) > 1:
            others = ", ".join(map(repr, pools[1:]))
            yield Finding("same store", pools[0], f"its URI leads to the same store as {others}: remove all but one")


def _strays(store: DataDriver, project: Project, look: _Look) -> dict[tuple[str, str], list[str]]:
    """Return the queues that are not where they are assigned, by check and pool."""
    found: dict[tuple[str, str], list[str]] = {}
    for queue, pool in look.assigned.items():
        if pool not in look.pools:
            found.setdefault(("no pool", pool), []).append(queue)
    found.update({("another store", pool): queues for pool, queues in _lost(store, project, look) if queues})
    found.update({("orphans", pool): queues for pool, queues in _orphans(look) if queues})
    return found


def _lost(store: DataDriver, project: Project, look: _Look) -> Iterator[tuple[str, list[str]]]:
    """Yield the pools with the queues that were created there, and that their store lacks."""
    for pool, each in look.stores.items():
        present = set(each.queues)
        lost = [queue for queue, of in look.assigned.items() if of == pool and queue not in present]
        states = store.control.catalogue_controller.find_many([(project, queue) for queue in lost])
        if len(each.queues) < MAX_QUEUES:
            yield pool, [queue for queue, one in zip(lost, states, strict=True) if one and one.state == ACTIVE]


def _orphans(look: _Look) -> Iterator[tuple[str, list[str]]]:
    """Yield the pools with the queues in their store that are assigned to no pool over that store."""
    shared = {each.identity: set[str]() for each in look.stores.values()}
    for pool, each in look.stores.items():
        shared[each.identity].add(pool)
    for pool, each in look.stores.items():
        yield pool, [queue for queue in each.queues if look.assigned.get(queue) not in shared[each.identity]]


def _findings(check: str, pool: str, queues: Sequence[str]) -> Iterator[Finding]:
    if check == "no pool":
        problem = f"it is assigned to the pool {pool!r}, which does not exist: add that pool again"
        yield from (Finding(check, queue, problem) for queue in queues)
    elif check == "orphans":
        problem = f"its store has queues that the catalogue does not assign to it: {_listed(queues)}"
        yield Finding(check, pool, problem)
    else:
        problem = (
            f"its store has not the queues that were created there ({_listed(queues)}): does the URI lead to another "
            "store, or was its content lost?"
        )
        yield Finding(check, pool, problem)


def _listed(queues: Sequence[str]) -> str:
    more = f" and {len(queues) - _MAX_LISTED} more" if len(queues) > _MAX_LISTED else ""
    return ", ".join(map(repr, queues[:_MAX_LISTED])) + more
