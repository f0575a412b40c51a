"""Queues as the API shows them: their reports, and their objects."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from kombu_pool.operator.queues import is_internal, list_queues
from kombu_pool.storage.counters import Counter
from kombu_pool.transport.declare.queue_arguments import DECLARED
from kombu_pool.web.management.vhosts import vhost_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from kombu_pool.model import Project
    from kombu_pool.operator.queues import QueueRow
    from kombu_pool.pooling import DataDriver
    from kombu_pool.web.management.state import ManagementState

    Names = Mapping[Project, Collection[str]]
    Scope = tuple[Project, str]

#: How long a pool may take to answer anything, in seconds: the other pools' queues are there within a second.
POOL_TIMEOUT = 0.7
#: The projects that are asked at once.
_MAX_AT_ONCE = 16
#: The queues whose counters are asked for by name.
_MAX_NAMED = 100
#: The prefix of the queues of this package, which no client declares.
_OURS = "kombu_pool."
#: A counter of a store -> the names of it in ``message_stats``.
_STATISTICS = {
    Counter.PUBLISHED: ("publish",),
    Counter.DELIVERED: ("deliver_get", "deliver"),
    Counter.ACKED: ("ack",),
    Counter.REDELIVERED: ("redeliver",),
}


def names_of(store: DataDriver, project: Project) -> list[str]:
    """Return the names of a project's queues, but those that serve this package, in order."""
    return sorted(
        entry["queue"]
        for entry in store.control.catalogue_controller.list(project)
        if not (entry["queue"].startswith(_OURS) and is_internal(entry["queue"], entry["pool"]))
    )


def queue_objects(state: ManagementState, names: Names) -> list[dict[str, Any]]:
    """Return the objects of queues, in the order of their virtual hosts and names.

    Those of a pool that does not answer within ``POOL_TIMEOUT`` have the state "down", and no counts.
    """
    state.use_samples()
    rows = _rows(state.store, names)
    scopes = [(project, row.queue) for project in names for row in rows[project]]
    # For many queues a store reads all counters in less time than some.
    counters = state.store.control.counters(scopes if len(scopes) <= _MAX_NAMED else None)
    metadata = {scope: found for project in names for scope, found in _metadata(state.store, project, names[project])}
    objects = []
    for project in names:
        for row in sorted(rows[project], key=lambda row: row.queue):
            scope = (project, row.queue)
            objects.append(
                {
                    **_declared(row, project, metadata.get(scope) or {}),
                    **_counts(row),
                    "message_stats": message_stats(state, scope, counters.get(scope, {})),
                }
            )
    return objects


def _rows(store: DataDriver, names: Names) -> dict[Project, list[QueueRow]]:
    """Return the rows of queues; the projects are asked at once, since each may wait for the same pool."""
    ask = partial(list_queues, store, timeout=POOL_TIMEOUT)
    if len(names) <= 1:
        return {project: ask(project, names=set(queues)).queues for project, queues in names.items()}
    with ThreadPoolExecutor(min(len(names), _MAX_AT_ONCE)) as threads:
        reports = {project: threads.submit(ask, project, names=set(queues)) for project, queues in names.items()}
        return {project: report.result().queues for project, report in reports.items()}


def _metadata(store: DataDriver, project: Project, names: Collection[str]) -> Iterator[tuple[Scope, dict[str, Any]]]:
    if len(names) == 1:
        name = next(iter(names))
        yield (project, name), store.queue_controller.get(name, project)
        return
    for queue in next(store.queue_controller.list(project, limit=0, detailed=True)):
        yield (project, queue["name"]), queue["metadata"]


def _declared(row: QueueRow, project: Project, metadata: Mapping[str, Any]) -> dict[str, Any]:
    declared = metadata.get(DECLARED) or {}
    return {
        "name": row.queue,
        "vhost": vhost_of(project),
        "durable": bool(declared.get("durable", True)),
        "auto_delete": bool(declared.get("auto_delete", False)),
        "exclusive": declared.get("exclusive") is not None,
        "arguments": declared.get("arguments") or {},
        "type": "classic",
        "node": row.pool,
        "state": "down" if row.error else "running",
        "policy": None,
        "operator_policy": None,
        "effective_policy_definition": {},
        "consumers": row.consumers,
    }


def _counts(row: QueueRow) -> dict[str, Any]:
    if row.error is not None:
        return {"reason": row.error}
    ready, claimed = row.ready or 0, row.claimed or 0
    head = None if row.oldest_age is None else int(time.time() - row.oldest_age)
    return {
        "messages": ready + claimed,
        "messages_ready": ready,
        "messages_unacknowledged": claimed,
        "messages_delayed": row.delayed or 0,
        "messages_exact": row.exact,
        "paused": row.paused,
        "head_message_timestamp": head,
    }


def message_stats(state: ManagementState, scope: Scope, counters: Mapping[str, int]) -> dict[str, Any]:
    """Return the counters of a queue and their rates."""
    rates = state.rates.rates(scope, counters)
    statistics: dict[str, Any] = {}
    for counter, names in _STATISTICS.items():
        for name in names:
            statistics[name] = counters.get(counter, 0)
            statistics[f"{name}_details"] = {"rate": rates.get(counter, 0.0)}
    return statistics


def totals(objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums of the messages of queues; those whose pool does not answer have none."""
    names = ("messages", "messages_ready", "messages_unacknowledged")
    return {name: sum(each.get(name, 0) for each in objects) for name in (*names, "messages_delayed")}


def total_statistics(objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums of the counters and rates of queues."""
    statistics: dict[str, Any] = {}
    for names in _STATISTICS.values():
        for name in names:
            rate = sum(each["message_stats"][f"{name}_details"]["rate"] for each in objects)
            statistics[name] = sum(each["message_stats"][name] for each in objects)
            statistics[f"{name}_details"] = {"rate": round(rate, 3)}
    return statistics
