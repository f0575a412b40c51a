"""``/api/overview``, ``/api/whoami``, ``/api/nodes`` and ``/api/vhosts``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kombu_pool
from kombu_pool.operator.pools import PoolHealth, check_health
from kombu_pool.transport.declare.exchanges import TYPES
from kombu_pool.web.management.consumers import connection_objects, holders_of
from kombu_pool.web.management.errors import not_found
from kombu_pool.web.management.exchanges import exchange_objects
from kombu_pool.web.management.queue_objects import POOL_TIMEOUT, names_of, queue_objects, total_statistics, totals
from kombu_pool.web.management.vhosts import vhost_of
from kombu_pool.web.requests import user_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from kombu_pool.model import Project
    from kombu_pool.web.management.call import Call

#: The version of RabbitMQ whose API this is, which clients read before they speak it.
RABBITMQ_VERSION = "3.10.8"


def show(call: Call) -> Response:
    """Answer with the sums over all virtual hosts."""
    names = {project: names_of(call.store, project) for project in call.projects()}
    objects = queue_objects(call.state, names)
    holders = [each for project, queues in names.items() for each in holders_of(call.state, project, queues)]
    return call.one(
        {
            "management_version": RABBITMQ_VERSION,
            "rabbitmq_version": RABBITMQ_VERSION,
            "product_name": "kombu_pool",
            "product_version": kombu_pool.__version__,
            "cluster_name": "kombu_pool",
            "node": "kombu_pool",
            "rates_mode": "basic",
            "statistics_db_event_queue": 0,
            "exchange_types": [{"name": name, "enabled": True} for name in sorted(TYPES)],
            "listeners": [],
            "contexts": [],
            "queue_totals": _with_rates(totals(objects)),
            "object_totals": {
                "queues": len(objects),
                "exchanges": sum(len(exchange_objects(call.store, project)) for project in names),
                "consumers": sum(each["consumers"] for each in objects),
                "connections": len(connection_objects(holders)),
                "channels": len({holder.channel_name for holder in holders}),
            },
            "message_stats": total_statistics(objects),
        }
    )


def _with_rates(sums: Mapping[str, int]) -> dict[str, Any]:
    """Return sums as clients expect them; how quickly they change is not known."""
    return {**sums, **{f"{name}_details": {"rate": 0.0} for name in sums}}


def whoami(call: Call) -> Response:
    """Answer with the name that the client gave; what it may do depends on the token, not on the name."""
    tag = "monitoring" if call.state.site.options.read_only else "administrator"
    return call.one({"name": user_of(call.request).removeprefix("basic:"), "tags": [tag]})


def list_nodes(call: Call) -> Response:
    """Answer with the pools."""
    return call.many([_node(pool) for pool in check_health(call.store, POOL_TIMEOUT)])


def show_node(call: Call) -> Response:
    """Answer with a pool."""
    for pool in check_health(call.store, POOL_TIMEOUT):
        if pool.pool == call.name:
            return call.one(_node(pool))
    raise not_found(f"no pool {call.name!r}")


def _node(pool: PoolHealth) -> dict[str, Any]:
    return {
        "name": pool.pool,
        "type": "disc",
        "running": pool.answers,
        "mem_used": pool.size or 0,
        "mem_alarm": False,
        "disk_free_alarm": False,
        "partitions": [],
        **({} if pool.reason is None else {"reason": pool.reason}),
    }


def list_vhosts(call: Call) -> Response:
    """Answer with the known virtual hosts."""
    return call.many([_vhost(call, project) for project in call.projects()])


def show_vhost(call: Call) -> Response:
    """Answer with a virtual host."""
    return call.one(_vhost(call, call.project()))


def _vhost(call: Call, project: Project) -> dict[str, Any]:
    objects = queue_objects(call.state, {project: names_of(call.store, project)})
    return {
        "name": vhost_of(project),
        "description": "",
        "tags": [],
        "metadata": {"description": "", "tags": []},
        "tracing": False,
        **_with_rates(totals(objects)),
        "message_stats": total_statistics(objects),
    }
