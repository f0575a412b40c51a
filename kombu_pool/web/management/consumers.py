"""``/api/consumers``, and the connections and channels of consumers: the store knows no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool.transport.processes import consumer_of, has_died, process_of
from kombu_pool.web.management.queue_objects import names_of
from kombu_pool.web.management.vhosts import vhost_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from starlette.responses import Response

    from kombu_pool.model import Project
    from kombu_pool.web.management.call import Call
    from kombu_pool.web.management.state import ManagementState

#: Parts of a consumer's id: those of its process, its connection, its channel, and its tag.
_PARTS = 6


class Holder(NamedTuple):
    """A consumer, as its id tells; ``since`` is in seconds since the epoch, None is unknown."""

    project: Project
    queue: str
    connection: str
    host: str | None
    pid: int | None
    channel: int
    since: float | None
    tag: str
    is_dead: bool

    @classmethod
    def of(cls, project: Project, queue: str, holder: str) -> Holder:
        """Return the consumer of an id."""
        found, is_dead = consumer_of(holder), has_died(process_of(holder))
        parts = holder.split(":", _PARTS - 1)
        channel = parts[4].partition("@")[0] if len(parts) == _PARTS else ""
        connection = f"{found.host or '?'}:{found.pid or '?'}:{parts[3][:8]}" if len(parts) == _PARTS else holder
        return cls(project, queue, connection, found.host, found.pid, _number(channel), found.since, found.tag, is_dead)

    @property
    def channel_name(self) -> str:
        """The name of its channel."""
        return f"{self.connection} ({self.channel})"


def _number(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0


def holders_of(state: ManagementState, project: Project, queues: Iterable[str]) -> Iterator[Holder]:
    """Yield the consumers of queues."""
    controller = state.store.control.consumers_controller
    names = list(queues)
    counts = controller.count_many([(project, queue) for queue in names])
    for queue, count in zip(names, counts, strict=True):
        if count:
            for holder in sorted(controller.consumers(queue, project)):
                yield Holder.of(project, queue, holder)


def _all(call: Call) -> Iterator[Holder]:
    for project in call.projects():
        yield from holders_of(call.state, project, names_of(call.store, project))


def consumer_objects(state: ManagementState, project: Project, queue: str) -> list[dict[str, Any]]:
    """Return the objects of a queue's consumers."""
    return [_consumer(holder) for holder in holders_of(state, project, [queue])]


def _consumer(holder: Holder) -> dict[str, Any]:
    return {
        "active": True,
        "activity_status": "suspected_down" if holder.is_dead else "up",
        "arguments": {},
        "channel_details": {
            "connection_name": holder.connection,
            "name": holder.channel_name,
            "number": holder.channel,
            "peer_host": holder.host,
        },
        "consumer_tag": holder.tag,
        "exclusive": False,
        "queue": {"name": holder.queue, "vhost": vhost_of(holder.project)},
    }


def list_consumers(call: Call) -> Response:
    """Answer with the consumers of a virtual host, or of all."""
    return call.many([_consumer(holder) for holder in _all(call)])


def list_connections(call: Call) -> Response:
    """Answer with the connections that consume."""
    return call.many(connection_objects(_all(call)))


def connection_objects(holders: Iterable[Holder]) -> list[dict[str, Any]]:
    """Return the objects of the connections of consumers, by name."""
    found: dict[tuple[str, str], list[Holder]] = {}
    for holder in holders:
        found.setdefault((holder.connection, vhost_of(holder.project)), []).append(holder)
    return [_connection(name, vhost, of) for (name, vhost), of in sorted(found.items())]


def _connection(name: str, vhost: str, holders: list[Holder]) -> dict[str, Any]:
    since = min((holder.since for holder in holders if holder.since is not None), default=None)
    return {
        "name": name,
        "vhost": vhost,
        "state": "running",
        "channels": len({holder.channel for holder in holders}),
        "connected_at": None if since is None else int(since * 1000),
        "peer_host": holders[0].host,
        "client_properties": {"product": "kombu_pool", "pid": holders[0].pid},
        "protocol": "kombu_pool",
        "user": "",
    }


def list_channels(call: Call) -> Response:
    """Answer with the channels that consume."""
    return call.many(channel_objects(_all(call)))


def channel_objects(holders: Iterable[Holder]) -> list[dict[str, Any]]:
    """Return the objects of the channels of consumers, by name."""
    found: dict[tuple[str, str], list[Holder]] = {}
    for holder in holders:
        found.setdefault((holder.channel_name, vhost_of(holder.project)), []).append(holder)
    return [
        {
            "name": name,
            "vhost": vhost,
            "number": of[0].channel,
            "state": "running",
            "consumer_count": len(of),
            "connection_details": {"name": of[0].connection, "peer_host": of[0].host},
            "user": "",
        }
        for (name, vhost), of in sorted(found.items())
    ]
