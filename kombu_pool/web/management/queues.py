"""``/api/queues``: lists, declares, shows, purges and deletes queues."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import QueueDoesNotExist
from kombu_pool.web.management.call import arguments_of, boolean, created, no_content
from kombu_pool.web.management.consumers import consumer_objects
from kombu_pool.web.management.errors import access_refused, bad_request, not_found, unavailable
from kombu_pool.web.management.json_values import document
from kombu_pool.web.management.queue_objects import names_of, queue_objects
from kombu_pool.web.management.vhosts import vhost_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response

    from kombu_pool.model import Project
    from kombu_pool.web.management.call import Call

#: The prefix of names that AMQP reserves for a broker's own.
RESERVED = "amq."
#: What a body of a declaration may have; the URL and a path of a node say the rest.
_KEYS = frozenset({"arguments", "auto_delete", "durable", "exclusive", "name", "node", "queue_type", "type", "vhost"})


def list_all(call: Call) -> Response:
    """Answer with the queues of a virtual host, or of all."""
    names = {project: names_of(call.store, project) for project in call.projects()}
    listing = call.listing()
    if listing.page is None or not listing.is_by_name:
        return call.many(queue_objects(call.state, names))
    # Only the queues of the page are counted.
    total = sum(map(len, names.values()))
    kept = [(project, queue) for project, queues in names.items() for queue in queues if listing.page.has(queue)]
    if listing.sort:
        kept.sort(key=itemgetter(1))
    items = listing.page.cut(kept[::-1] if listing.reverse else kept)
    shown = [listing.columns_of(queue) for queue in _in_order(call, items)]
    return document(listing.page.described(shown, len(kept), total))


def _in_order(call: Call, items: Sequence[tuple[Project, str]]) -> list[dict[str, Any]]:
    """Return the objects of queues in that order; one may have been deleted meanwhile."""
    names: dict[Project, list[str]] = {}
    for project, queue in items:
        names.setdefault(project, []).append(queue)
    found = {(each["vhost"], each["name"]): each for each in queue_objects(call.state, names)}
    scopes = ((vhost_of(project), queue) for project, queue in items)
    return [found[scope] for scope in scopes if scope in found]


def show(call: Call) -> Response:
    """Answer with a queue; without its counts, a client that scales by them would take them as 0."""
    project = call.project()
    found = _found(call, project)
    if found["state"] == "down":
        raise unavailable(found["reason"])
    details = consumer_objects(call.state, project, call.name) if found["consumers"] else []
    return call.one({**found, "consumer_details": details, "deliveries": [], "incoming": []})


def _found(call: Call, project: Project) -> dict[str, Any]:
    try:
        objects = queue_objects(call.state, {project: [call.name]})
    except QueueDoesNotExist:
        objects = []
    if not objects:
        raise no_queue(call)
    return objects[0]


def no_queue(call: Call) -> Exception:
    """Return the error for a queue that does not exist."""
    return not_found(f"no queue {call.name!r} in vhost {call.vhost!r}")


def require(call: Call) -> Project:
    """Return the project of the queue of a request.

    Raises:
        ApiError: there is no such virtual host, or no such queue in it.
    """
    project = call.project()
    if not call.store.queue_controller.exists(call.name, project):
        raise no_queue(call)
    return project


def declare(call: Call) -> Response:
    """Declare a queue, as a client does."""
    project, wanted = call.project(), call.body()
    _check(wanted)
    durable, auto_delete = boolean(wanted, "durable", default=True), boolean(wanted, "auto_delete", default=False)
    arguments = arguments_of(wanted)
    if call.name.startswith(RESERVED):
        raise access_refused(call.name)
    exists = call.store.queue_controller.exists(call.name, project)
    with call.state.channels.channel(project) as channel:
        channel.queue_declare(call.name, durable=durable, auto_delete=auto_delete, arguments=arguments)
    return no_content() if exists else created()


def _check(wanted: dict[str, Any]) -> None:
    unknown = wanted.keys() - _KEYS
    if unknown:
        raise bad_request(f"a queue has no {', '.join(sorted(unknown))}: there are {', '.join(sorted(_KEYS))}")
    if boolean(wanted, "exclusive", default=False):
        raise bad_request("a queue that is exclusive to the connection of one request would be deleted at once")
    if wanted.get("node"):
        raise bad_request(
            "the catalog chooses the pool of a queue: give x-pool-flavor among the arguments, and no node"
        )


def delete(call: Call) -> Response:
    """Delete a queue, if it is empty or unused where the request asks for that."""
    if_empty, if_unused = call.flag("if-empty"), call.flag("if-unused")
    project = require(call)
    with call.state.channels.channel(project) as channel:
        channel.queue_delete(call.name, if_unused=if_unused, if_empty=if_empty)
    return no_content()


def purge(call: Call) -> Response:
    """Delete the messages of a queue that no consumer holds."""
    project = require(call)
    with call.state.channels.channel(project) as channel:
        channel.queue_purge(call.name)
    return no_content()
