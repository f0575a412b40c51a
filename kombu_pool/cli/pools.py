"""Commands for the pools of a broker: list, add, change, remove, check."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from kombu_pool.cli import options
from kombu_pool.cli.broker import open_broker
from kombu_pool.cli.tables import Bad, format_time, print_json, print_table
from kombu_pool.operator import applying, pool_removal, pools
from kombu_pool.operator.formats import format_size

if TYPE_CHECKING:
    from kombu_pool.cli.broker import Broker
    from kombu_pool.operator.applying import AppliedPool
    from kombu_pool.operator.pools import PoolHealth


@click.command("ls")
@options.as_json
@click.pass_context
def list_pools(context: click.Context, as_json: bool) -> None:
    """List the pools and how many of the project's queues each has."""
    with open_broker(context) as broker:
        rows = pools.list_pools(broker.store, broker.project)
    if as_json:
        print_json({"pools": [asdict(row) for row in rows]})
        return
    texts = [(row.pool, row.weight, row.flavor, row.queues, row.uri) for row in rows]
    empty = "There are no pools: the first queue gets one over the control store."
    print_table(("POOL", "WEIGHT", "FLAVOR", "QUEUES", "URI"), texts, empty=empty)


@click.command("add")
@click.argument("name")
@click.argument("uri")
@click.option("--weight", type=click.IntRange(min=0), default=100, show_default=True, help="Share of new queues.")
@click.option("--flavor", help="Flavor of the pool; created if it does not exist.")
@click.option("--options", "pool_options", type=options.JSON_OBJECT, help="Options of its store, as JSON.")
@click.pass_context
def add_pool(
    context: click.Context, name: str, uri: str, weight: int, flavor: str | None, pool_options: dict[str, Any] | None
) -> None:
    """Add the pool NAME over the store at URI."""
    with open_broker(context, create=True) as broker:
        pool = {"name": name, "uri": uri, "weight": weight, "flavor": flavor, "options": pool_options or {}}
        pools.add_pool(broker.store, broker.project, pool)
    click.echo(f"Added {name}.")


@click.command("set")
@click.argument("name")
@click.option("--weight", type=click.IntRange(min=0), help="Share of new queues; 0 for none.")
@click.option("--flavor", help="Flavor of the pool; '' removes it.")
@click.option("--uri", help="URI of the pool's store; another store only if the pool has no queues.")
@click.option(
    "--options", "pool_options", type=options.JSON_OBJECT, help="Options of its store, as JSON, in place of all it has."
)
@click.option("--force", is_flag=True, help="Leave the messages of its store, and serve its queues from the new one.")
@click.pass_context
def set_pool(
    context: click.Context, name: str, weight: int | None, flavor: str | None, uri: str | None,
    pool_options: dict[str, Any] | None, force: bool,
) -> None:  # fmt: skip
    """Change the pool NAME; its queues stay in it, until they are moved (move, drain, rebalance)."""
    if force and uri is None and pool_options is None:
        raise click.UsageError("--force goes with --uri or --options.")
    with open_broker(context) as broker:
        changes = {"weight": weight, "flavor": flavor, "uri": uri, "options": pool_options}
        pools.change_pool(broker.store, broker.project, name, changes, force=force)
    click.echo(f"Changed {name}.")


@click.command("apply")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and change nothing.")
@options.as_json
@click.pass_context
def apply(context: click.Context, dry_run: bool, as_json: bool) -> None:
    """Add the pools of the settings, and give pools the weight, flavor and options that the settings say.

    Pools with another URI, and those that are not in the settings, are named and stay. Exit with 1 if something failed.
    """
    with open_broker(context, create=True, declare=False) as broker:
        if not broker.declared:
            raise click.ClickException("The settings name no pools: broker_transport_options has no 'pools'.")
        done = applying.apply_settings(broker.store, broker.project, broker.declared, dry_run=dry_run)
    if as_json:
        print_json({"pools": [asdict(row) for row in done]})
    else:
        rows = [(row.pool, _action(row, dry_run=dry_run), ", ".join(row.what)) for row in done]
        print_table(("POOL", "ACTION", "WHAT"), rows, empty="The pools are as the settings say.")
    if any(row.action == applying.FAILED for row in done):
        context.exit(1)


def _action(row: AppliedPool, *, dry_run: bool) -> str:
    if row.action in (applying.ADD, applying.CHANGE):
        return f"would {row.action}" if dry_run else {"add": "added", "change": "changed"}[row.action]
    return Bad(row.action)


@click.command("rm")
@click.argument("name")
@click.option("--force", is_flag=True, help="Remove a pool whose store is lost; its queues live on elsewhere, empty.")
@options.timeout
@options.without_asking
@click.pass_context
def remove_pool(context: click.Context, name: str, force: bool, timeout: float | None, yes: bool) -> None:
    """Remove the pool NAME, which must have no queues: celery pool drain NAME moves them. Its store is not changed.

    With --force, say what goes with it: the messages of its queues.
    """
    with open_broker(context) as broker:
        broker.store.control.pools_controller.get(name)
        if force:
            _remove_lost(broker, name, timeout, yes=yes)
        else:
            broker.store.control.pools_controller.delete(name)
    click.echo(f"Removed {name}.")


def _remove_lost(broker: Broker, name: str, timeout: float | None, *, yes: bool) -> None:
    lost = pool_removal.lost_queues(broker.store, broker.project, name, timeout)
    rows = [(row.queue, row.to, row.messages if row.known else f"about {row.messages}") for row in lost]
    print_table(("QUEUE", "GOES TO", "LOSES"), rows, empty="It has no queues.")
    if lost:
        options.confirm(f"Remove {name} with all messages of these queues?", yes)
    pool_removal.remove_lost_pool(broker.store, broker.project, name, lost)


@click.command("health")
@options.timeout
@options.as_json
@click.pass_context
def check_health(context: click.Context, timeout: float | None, as_json: bool) -> None:
    """Check every pool, and show its size; exit with 1 if one does not answer.

    The size is that of the file, of a MongoDB's messages with their indexes, or of all that a Redis has in memory.
    """
    with open_broker(context) as broker:
        found = pools.check_health(broker.store, timeout)
    if as_json:
        print_json({"pools": [asdict(pool) for pool in found]})
    else:
        texts = [
            (pool.pool, _answer(pool), format_size(pool.size), format_time(pool.since), pool.reason) for pool in found
        ]
        empty = "There are no pools: the first queue gets one over the control store."
        print_table(("POOL", "ANSWERS", "SIZE", "DOWN SINCE", "REASON"), texts, empty=empty)
    if not all(pool.answers for pool in found):
        context.exit(1)


def _answer(pool: PoolHealth) -> str:
    if not pool.answers:
        return Bad("no")
    return "yes" if pool.created else "unused"
