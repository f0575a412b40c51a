"""Looks for what is wrong with a broker and does not show in the counts of its queues."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import KombuPoolError
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
    """What a pool's store tells: its identity, and the project's queues in it."""

    identity: str
    queues: list[str]


def examine(
    store: DataDriver, project: Project, declared: Sequence[Mapping[str, Any]] = (), timeout: float | None = None
) -> list[Finding]:
    """Return what is wrong: with the assignments of queues, the pools, and the settings that declare pools."""
    pools = [row["name"] for row in store.catalog.rows()]
    assigned = {entry["queue"]: entry["pool"] for entry in store.control.catalogue_controller.list(project)}
    questions = {pool: partial(_look, project=project) for pool in pools}
    stores = ask(store, questions, timeout)
    in_use = set(assigned.values())
    found: dict[str, _Store] = {}
    findings = list(_without_pool(assigned, pools))
    for pool, answer in stores.items():
        if not isinstance(answer, KombuPoolError):
            found[pool] = answer
        elif pool in in_use or "does not exist" not in str(answer):
            findings.append(Finding("unreachable", pool, reason_of(pool, answer)))
    findings += _shared(found)
    findings += _lost(store, project, assigned, found)
    findings += _orphans(assigned, found)
    return findings + [Finding("settings", pool, text) for pool, text in pool_differences(store.control, declared)]


def _look(pool: PoolHandle, project: Project) -> _Store:
    driver = pool.driver
    page = next(pool.queues.list(project, limit=MAX_QUEUES))
    return _Store("" if driver is None else driver.identity, [queue["name"] for queue in page])


def _without_pool(assigned: Mapping[str, str], pools: Sequence[str]) -> Iterator[Finding]:
    for queue, pool in assigned.items():
        if pool not in pools:
            yield Finding(
                "no pool", queue, f"it is assigned to the pool {pool!r}, which does not exist: add that pool again"
            )


def _shared(found: Mapping[str, _Store]) -> Iterator[Finding]:
    by_identity: dict[str, list[str]] = {}
    for pool, each in found.items():
        if each.identity:
            by_identity.setdefault(each.identity, []).append(pool)
    for pools in by_identity.values():
        if len(pools) > 1:
            others = ", ".join(map(repr, pools[1:]))
            yield Finding("same store", pools[0], f"its URI leads to the same store as {others}: remove all but one")


def _lost(
    store: DataDriver, project: Project, assigned: Mapping[str, str], found: Mapping[str, _Store]
) -> Iterator[Finding]:
    """Yield the pools whose store lacks queues that were created there: their URI leads to another store."""
    for pool, each in found.items():
        present = set(each.queues)
        lost = [queue for queue, of in assigned.items() if of == pool and queue not in present]
        states = store.control.catalogue_controller.find_many([(project, queue) for queue in lost])
        lost = [queue for queue, one in zip(lost, states, strict=True) if one is not None and one.state == ACTIVE]
        if lost and len(each.queues) < MAX_QUEUES:
            yield Finding(
                "another store",
                pool,
                f"its store has not the queues that were created there ({_listed(lost)}): does the URI lead to another "
                "store, or was its content lost?",
            )


def _orphans(assigned: Mapping[str, str], found: Mapping[str, _Store]) -> Iterator[Finding]:
    shared = {each.identity: set[str]() for each in found.values()}
    for pool, each in found.items():
        shared[each.identity].add(pool)
    for pool, each in found.items():
        orphans = [queue for queue in each.queues if assigned.get(queue) not in shared[each.identity]]
        if orphans:
            yield Finding(
                "orphans", pool, f"its store has queues that the catalogue does not assign to it: {_listed(orphans)}"
            )


def _listed(queues: Sequence[str]) -> str:
    more = f" and {len(queues) - _MAX_LISTED} more" if len(queues) > _MAX_LISTED else ""
    return ", ".join(map(repr, queues[:_MAX_LISTED])) + more
