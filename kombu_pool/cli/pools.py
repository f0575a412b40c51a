"""The pools of a broker, its queues and their health."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from kombu_pool.cli.broker import opened
from kombu_pool.cli.tables import moment, show
from kombu_pool.drivers import mask, open_data
from kombu_pool.errors import KombuPoolError
from kombu_pool.pooling import declare_pools

if TYPE_CHECKING:
    from kombu_pool.cli.broker import Broker
    from kombu_pool.cli.tables import Row
    from kombu_pool.model import Pool


@click.command("ls")
@click.pass_context
def list_pools(context: click.Context) -> None:
    """List the pools, with the number of the project's queues in each."""
    with opened(context) as (store, project):
        entries = store.control.catalogue_controller.list(project)
        counts = {row["name"]: 0 for row in store.catalog.rows()}
        for entry in entries:
            counts[entry["pool"]] = counts.get(entry["pool"], 0) + 1
        rows = [_pool_row(row, counts[row["name"]]) for row in store.catalog.rows()]
    show(("POOL", "WEIGHT", "FLAVOR", "QUEUES", "URI"), rows)


def _pool_row(row: Pool, queues: int) -> Row:
    return row["name"], row["weight"], row["flavor"], queues, mask(row["uri"])


@click.command("queues")
@click.pass_context
def list_queues(context: click.Context) -> None:
    """List the queues: which pool each is in, and how many messages and consumers it has."""
    with opened(context) as broker:
        entries = broker.store.control.catalogue_controller.list(broker.project)
        rows = [_queue_row(broker, entry["queue"], entry["pool"]) for entry in entries]
    show(("QUEUE", "POOL", "READY", "DELAYED", "CLAIMED", "CONSUMERS"), rows)


def _queue_row(broker: Broker, queue: str, pool: str) -> Row:
    store, project = broker
    consumers = store.control.consumers_controller.count(queue, project)
    try:
        ready = store.message_controller.count(queue, project)
        counted = store.queue_controller.stats(queue, project)["messages"]
    except KombuPoolError:
        # Whatever is wrong with one pool, `health` tells it, and the others are listed.
        return queue, pool, "?", "?", "?", consumers
    # A message may become due, or be taken, between the two questions.
    delayed = max(counted["free"] - ready, 0)
    return queue, pool, ready, delayed, counted["claimed"], consumers


@click.command("add")
@click.argument("name")
@click.argument("uri")
@click.option("--weight", type=click.IntRange(min=0), default=100, show_default=True, help="Share of new queues.")
@click.option("--flavor", help="The flavor of queues that it is for; made if there is none of that name.")
@click.pass_context
def add_pool(context: click.Context, name: str, uri: str, weight: int, flavor: str | None) -> None:
    """Add the pool NAME over the store at URI."""
    with opened(context) as (store, project):
        if store.control.pools_controller.exists(name):
            raise click.ClickException(f"There is a pool {name!r} already: celery pool set {name} changes it.")
        _check(uri)
        declare_pools(store.control, [{"name": name, "uri": uri, "weight": weight, "flavor": flavor}], project=project)
    click.echo(f"Added {name}.")


def _check(uri: str) -> None:
    """Refuse a store that does not answer, before a queue is put there."""
    with closing(open_data(uri)) as store:
        if not store.is_alive():
            raise click.ClickException(f"{mask(uri)} does not answer.")


@click.command("set")
@click.argument("name")
@click.option("--weight", type=click.IntRange(min=0), help="Share of new queues; 0 takes no more of them.")
@click.option("--flavor", help="The flavor of queues that it is for; '' takes it away.")
@click.pass_context
def set_pool(context: click.Context, name: str, weight: int | None, flavor: str | None) -> None:
    """Change the pool NAME; the queues that are in it stay there."""
    changes: dict[str, Any] = {"weight": weight, "flavor": flavor}
    with opened(context) as (store, _):
        store.control.pools_controller.update(name, **changes)
    click.echo(f"Changed {name}.")


@click.command("rm")
@click.argument("name")
@click.pass_context
def remove_pool(context: click.Context, name: str) -> None:
    """Remove the pool NAME, which no queue may be in. Its store is left as it is."""
    with opened(context) as (store, _):
        store.control.pools_controller.get(name)
        store.control.pools_controller.delete(name)
    click.echo(f"Removed {name}.")


@click.command("health")
@click.pass_context
def check_health(context: click.Context) -> None:
    """Ask every pool whether it answers; ends with 1 if one does not."""
    with opened(context) as (store, _):
        health = store.health()
    show(
        ("POOL", "ANSWERS", "NOT SINCE", "REASON"),
        [
            (name, "yes" if said["storage_reachable"] else "no", moment(said["since"]), said["reason"])
            for name, said in health["pools"].items()
        ],
    )
    if not (health["catalog_reachable"] and health["storage_reachable"]):
        context.exit(1)
