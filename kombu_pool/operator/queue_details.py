"""All that is known of one queue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers import mask_uri
from kombu_pool.errors import PoolDoesNotExist, QueueDoesNotExist
from kombu_pool.operator.messages import require
from kombu_pool.operator.queues import list_queues
from kombu_pool.transport.declare.queue_arguments import DECLARED
from kombu_pool.transport.processes import consumer_of, has_died, process_of

if TYPE_CHECKING:
    from kombu_pool.model import Project
    from kombu_pool.operator.queues import QueueRow
    from kombu_pool.pooling import DataDriver


@dataclass(frozen=True)
class ConsumerView:
    """A consumer of a queue; None is unknown. ``dead``: its process on this machine has ended."""

    host: str | None
    pid: int | None
    #: When it began to consume, in seconds since the epoch.
    since: float | None
    tag: str
    dead: bool


@dataclass(frozen=True)
class BindingView:
    """A binding that leads to a queue."""

    exchange: str
    routing_key: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class QueueDetails:
    """A queue: its row, its pool's address, its declaration, its bindings, and its consumers."""

    row: QueueRow
    uri: str | None
    #: The properties and arguments of its declaration through AMQP; empty for a queue of the library's.
    declared: dict[str, Any]
    #: What its store acts on.
    policy: dict[str, Any]
    bindings: list[BindingView] = field(default_factory=list)
    consumed_by: list[ConsumerView] = field(default_factory=list)


def show_queue(store: DataDriver, project: Project, queue: str, *, timeout: float | None = None) -> QueueDetails:
    """Return all of one queue.

    Raises:
        QueueDoesNotExist: the queue does not exist.
    """
    require(store, project, queue)
    metadata = store.queue_controller.get(queue, project)
    # By its exact name: it may hold the characters of a pattern.
    report = list_queues(store, project, names=[queue], timeout=timeout)
    row = next(iter(report.queues), None)
    if row is None:
        raise QueueDoesNotExist(queue, project)
    return QueueDetails(
        row,
        _uri(store, row.pool),
        dict(metadata.get(DECLARED) or {}),
        {key: value for key, value in metadata.items() if key.startswith("_")},
        _bindings(store, project, queue),
        consumers_of(store, project, queue),
    )


def _uri(store: DataDriver, pool: str) -> str | None:
    try:
        return mask_uri(store.control.pools_controller.get(pool)["uri"])
    except PoolDoesNotExist:
        return None


def _bindings(store: DataDriver, project: Project, queue: str) -> list[BindingView]:
    found = store.control.bindings_controller.list(project=project)
    return [
        BindingView(binding["exchange"], binding["routing_key"], dict(binding["arguments"]))
        for binding in found
        if binding["destination"] == queue and binding["destination_type"] == "queue"
    ]


def consumers_of(store: DataDriver, project: Project, queue: str) -> list[ConsumerView]:
    """Return the consumers of a queue, the oldest first."""
    holders = store.control.consumers_controller.consumers(queue, project)
    views = [ConsumerView(*consumer_of(holder), has_died(process_of(holder))) for holder in holders]
    return sorted(views, key=lambda view: (view.since or 0.0, view.host or "", view.pid or 0, view.tag))
