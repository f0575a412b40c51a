"""Commands for the pools of a broker: list, add, change, remove, check; and for its queues: list."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from kombu_pool.cli.broker import open_broker
from kombu_pool.cli.tables import format_time, print_table
from kombu_pool.drivers import mask_uri, open_data
from kombu_pool.errors import KombuPoolError
from kombu_pool.pooling import add_pool as create_pool
from kombu_pool.pooling import is_same_store

if TYPE_CHECKING:
    from kombu_pool.cli.broker import Broker
    from kombu_pool.cli.tables import Row


@click.command("ls")
@click.pass_context
def list_pools(context: click.Context) -> None:
    """List the pools and how many of the project's queues each has."""
    with open_broker(context) as (store, project):
        entries = store.control.catalogue_controller.list(project)
        queues = Counter(entry["pool"] for entry in entries)
        rows = [
            (row["name"], row["weight"], row["flavor"], queues[row["name"]], mask_uri(row["uri"]))
            for row in store.catalog.rows()
        ]
    print_table(("POOL", "WEIGHT", "FLAVOR", "QUEUES", "URI"), rows)


@click.command("queues")
@click.pass_context
def list_queues(context: click.Context) -> None:
    """List the queues with their pool, message counts and consumers."""
    with open_broker(context) as broker:
        entries = broker.store.control.catalogue_controller.list(broker.project)
        rows = [_queue_row(broker, entry["queue"], entry["pool"]) for entry in entries]
    print_table(("QUEUE", "POOL", "READY", "DELAYED", "CLAIMED", "CONSUMERS"), rows)


def _queue_row(broker: Broker, queue: str, pool: str) -> Row:
    store, project = broker
    consumers = store.control.consumers_controller.count(queue, project)
    try:
        ready = store.message_controller.count(queue, project)
        counts = store.queue_controller.stats(queue, project)["messages"]
    except KombuPoolError:
        # `health` reports the error; the queues of the other pools are still listed.
        return queue, pool, "?", "?", "?", consumers
    # A message may become free or be claimed between the two reads.
    delayed = max(counts["free"] - ready, 0)
    return queue, pool, ready, delayed, counts["claimed"], consumers


@click.command("add")
@click.argument("name")
@click.argument("uri")
@click.option("--weight", type=click.IntRange(min=0), default=100, show_default=True, help="Share of new queues.")
@click.option("--flavor", help="Flavor of the pool; created if it does not exist.")
@click.pass_context
def add_pool(context: click.Context, name: str, uri: str, weight: int, flavor: str | None) -> None:
    """Add the pool NAME over the store at URI."""
    with open_broker(context, create=True) as (store, project):
        if store.control.pools_controller.exists(name):
            raise click.ClickException(f"Pool {name!r} exists already; change it with: celery pool set {name}")
        _require_alive(uri)
        create_pool(store.control, {"name": name, "uri": uri, "weight": weight, "flavor": flavor}, project)
    click.echo(f"Added {name}.")


def _require_alive(uri: str) -> None:
    """Raise a ClickException if the store does not answer, before a queue is assigned to it."""
    with closing(open_data(uri)) as store:
        if not store.is_alive():
            raise click.ClickException(f"{mask_uri(uri)} does not answer.")


@click.command("set")
@click.argument("name")
@click.option("--weight", type=click.IntRange(min=0), help="Share of new queues; 0 for none.")
@click.option("--flavor", help="Flavor of the pool; '' removes it.")
@click.option("--uri", help="URI of the pool's store; another store only if the pool has no queues.")
@click.pass_context
def set_pool(context: click.Context, name: str, weight: int | None, flavor: str | None, uri: str | None) -> None:
    """Change the pool NAME; its queues stay in it."""
    changes: dict[str, Any] = {"weight": weight, "flavor": flavor, "uri": uri}
    with open_broker(context) as (store, _):
        if uri is not None:
            found = store.control.pools_controller.get(name, detailed=True)
            if not is_same_store(found, uri):
                store.control.pools_controller.require_unused(name)
            _require_alive(uri)
        store.control.pools_controller.update(name, **changes)
    click.echo(f"Changed {name}.")


@click.command("rm")
@click.argument("name")
@click.pass_context
def remove_pool(context: click.Context, name: str) -> None:
    """Remove the pool NAME, which must have no queues. Its store is not changed."""
    with open_broker(context) as (store, _):
        store.control.pools_controller.get(name)
        store.control.pools_controller.delete(name)
    click.echo(f"Removed {name}.")


@click.command("health")
@click.pass_context
def check_health(context: click.Context) -> None:
    """Check every pool; exit with 1 if one does not answer."""
    with open_broker(context) as (store, _):
        health = store.health()
    print_table(
        ("POOL", "ANSWERS", "DOWN SINCE", "REASON"),
        [(name, _answer(pool), format_time(pool["since"]), pool["reason"]) for name, pool in health["pools"].items()],
    )
    if not (health["catalog_reachable"] and health["storage_reachable"]):
        context.exit(1)


def _answer(pool: dict[str, Any]) -> str:
    if not pool["storage_reachable"]:
        return "no"
    return "yes" if pool.get("created", True) else "unused"
