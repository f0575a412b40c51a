"""Commands that move many queues: out of one pool, or towards the weights of the pools."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kombu_pool.cli import options
from kombu_pool.cli.broker import open_broker
from kombu_pool.cli.move_progress import ProgressBar
from kombu_pool.cli.signals import deferred_interrupt
from kombu_pool.cli.tables import Bad, print_json, print_table
from kombu_pool.operator import pool_removal, rebalance

if TYPE_CHECKING:
    from kombu_pool.cli.broker import Broker
    from kombu_pool.cli.tables import Row
    from kombu_pool.operator.moves import MoveProgress
    from kombu_pool.operator.pool_removal import DrainResult
    from kombu_pool.operator.rebalance import RebalancePlan

#: Exit status of an interrupted command, as shells use it.
_INTERRUPTED = 130
_parallel = click.option(
    "--parallel", type=click.IntRange(min=1, max=16), default=2, show_default=True, help="Queues that move at once."
)


@click.command("drain")
@click.argument("pool")
@_parallel
@click.option("--remove", "removes", is_flag=True, help="Remove POOL once it has no queues.")
@options.as_json
@click.pass_context
def drain_pool(context: click.Context, /, pool: str, parallel: int, removes: bool, as_json: bool) -> None:
    """Give POOL the weight 0, and move its queues to other pools of its flavor, by weight; exit with 1 if some remain.

    Queues that go with their processes, as control queues do, cannot move, and are named. Ctrl-C stops after the
    current step; the same command goes on.
    """
    with open_broker(context) as broker, ProgressBar() as bar, deferred_interrupt() as interrupted:

        def progress(now: MoveProgress) -> bool:
            bar.draw(now)
            return bool(interrupted)

        done = pool_removal.drain_pool(broker.store, broker.project, pool, progress, parallel=parallel, removes=removes)
    if as_json:
        print_json(asdict(done))
    else:
        _report(done)
    if interrupted or done.left:
        context.exit(_INTERRUPTED if interrupted else 1)


def _report(done: DrainResult) -> None:
    print_table(("QUEUE", "TO", "COPIED", "ERROR"), _rows(done), empty=f"Pool {done.pool} has no queues.")
    if done.removed:
        click.echo(f"Removed {done.pool}.")


def _rows(done: DrainResult) -> list[Row]:
    rows: list[Row] = [(each.queue, each.target, each.copied, None) for each in done.moved]
    return [*rows, *((queue, None, None, Bad(reason)) for queue, reason in sorted(done.left.items()))]


@click.command("rebalance")
@click.option("--dry-run", is_flag=True, help="Print the plan, and move nothing.")
@_parallel
@options.as_json
@click.pass_context
def rebalance_pools(context: click.Context, /, dry_run: bool, parallel: int, as_json: bool) -> None:
    """Move a few queues, so that pools of a flavor have messages and traffic in proportion to their weights.

    The plan is printed first. Pools with the weight 0 are left as they are: drain empties one.
    """
    with open_broker(context) as broker:
        plan = rebalance.plan_rebalance(broker.store, broker.project)
        if as_json and dry_run:
            print_json(asdict(plan))
        elif not as_json:
            _print_plan(plan)
        if not dry_run:
            _execute(context, broker, plan, parallel, as_json=as_json)


def _print_plan(plan: RebalancePlan) -> None:
    rows = [(each.queue, each.source, each.target, each.messages, each.rate) for each in plan.moves]
    print_table(("QUEUE", "FROM", "TO", "MESSAGES", "RATE/s"), rows, empty="No queue need move.")
    if plan.moves:
        loads = [
            (each.pool, each.weight, f"{each.share:.0%}", f"{each.now:.0%}", f"{each.after:.0%}") for each in plan.pools
        ]
        print_table(("POOL", "WEIGHT", "SHARE", "NOW", "AFTER"), loads)


def _execute(context: click.Context, broker: Broker, plan: RebalancePlan, parallel: int, *, as_json: bool) -> None:
    with ProgressBar() as bar, deferred_interrupt() as interrupted:

        def progress(now: MoveProgress) -> bool:
            bar.draw(now)
            return bool(interrupted)

        targets = {each.queue: each.target for each in plan.moves}
        done = pool_removal.move_all(broker.store, broker.project, targets, progress, parallel=parallel)
    if as_json:
        print_json({**asdict(plan), "moved": [asdict(each) for each in done.moved], "left": done.left})
    elif plan.moves:
        print_table(("QUEUE", "TO", "COPIED", "ERROR"), _rows(done))
    if interrupted or done.left:
        context.exit(_INTERRUPTED if interrupted else 1)
