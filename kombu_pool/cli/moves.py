"""Commands that move queues from pool to pool, and list the moves that are not over."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kombu_pool.cli import options
from kombu_pool.cli.broker import open_broker
from kombu_pool.cli.move_progress import ProgressBar
from kombu_pool.cli.signals import deferred_interrupt
from kombu_pool.cli.tables import Bad, escaped, format_time, print_json, print_table
from kombu_pool.operator import moves

if TYPE_CHECKING:
    from kombu_pool.cli.broker import Broker
    from kombu_pool.cli.tables import Row
    from kombu_pool.operator.moves import MoveProgress, MoveResult, MoveRow

#: Exit status of an interrupted command, as shells use it.
_INTERRUPTED = 130


@click.command("move")
@click.argument("queue")
@click.argument("pool", required=False)
@click.option(
    "--copy/--drain", "copies", default=None,
    help="Copy: messages are copied in order, the move ends by itself, and workers get nothing from QUEUE meanwhile."
    " Drain: the workers empty the old pool, and get new messages after that.  [default: copy]",
)  # fmt: skip
@click.option("--no-wait", is_flag=True, help="Open QUEUE in POOL, and leave the messages to the workers.")
@click.option("--abort", "aborts", is_flag=True, help="End a move whose POOL is not open yet; QUEUE stays.")
@options.as_json
@click.pass_context
def move(
    context: click.Context, /, queue: str, pool: str | None, copies: bool | None, no_wait: bool, aborts: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Move QUEUE, with its messages, to another POOL, while it is used; wait until none is left in the old one.

    New messages go to POOL at once. What a worker holds is waited for. Ctrl-C stops after the current step, and leaves
    the move to the workers; the same command goes on with it.
    """
    if aborts == (pool is not None) or (aborts and (no_wait or copies is not None)):
        raise click.UsageError("Give POOL, or --abort alone.")
    with open_broker(context) as broker:
        if pool is None:
            moves.abort_move(broker.store, broker.project, queue)
            _say({"queue": queue, "result": moves.ENDED}, f"The move of {queue} has ended: it stays.", as_json=as_json)
        elif no_wait:
            moves.start_move(broker.store, broker.project, queue, pool, copies=copies)
            told = (
                f"{queue} is open in {pool}; the workers move its messages: celery pool moves shows how far they are."
            )
            _say({"queue": queue, "result": moves.LEFT}, told, as_json=as_json)
        else:
            _move(context, broker, queue, pool, copies=copies, as_json=as_json)


def _move(context: click.Context, broker: Broker, queue: str, pool: str, *, copies: bool | None, as_json: bool) -> None:
    with ProgressBar() as bar, deferred_interrupt() as interrupted:

        def progress(now: MoveProgress) -> bool:
            bar.draw(now)
            return bool(interrupted)

        done = moves.move(broker.store, broker.project, queue, pool, progress, copies=copies)
    _say(asdict(done), sentence(done), as_json=as_json)
    if done.result != moves.DONE:
        context.exit(_INTERRUPTED if interrupted else 1)


def sentence(done: MoveResult) -> str:
    """Return what has become of a move as a sentence."""
    queue, again = done.queue, f"celery pool move {done.queue} {done.target}"
    return {
        moves.DONE: f"Moved {queue} from {done.source} to {done.target}; {done.copied} messages were copied.",
        moves.LEFT: f"The move of {queue} is left to the workers; to go on here: {again}",
        moves.TAKEN_OVER: f"Another process goes on with the move of {queue}: celery pool moves shows it.",
        moves.ENDED: f"The move of {queue} was ended, or {queue} was deleted.",
    }[done.result]


def _say(document: object, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        click.echo(escaped(text))


@click.command("moves")
@options.timeout
@options.as_json
@click.pass_context
def list_moves(context: click.Context, timeout: float | None, as_json: bool) -> None:
    """List the moves of queues that are not over: how far they are, and whether a process does the work."""
    with open_broker(context) as broker:
        rows = moves.list_moves(broker.store, broker.project, timeout)
    if as_json:
        print_json({"moves": [asdict(row) for row in rows]})
        return
    columns = ("QUEUE", "FROM", "TO", "MODE", "PHASE", "COPIED", "LEFT", "HELD", "WORKS", "SINCE")
    print_table(columns, [_row(row) for row in rows], empty="No queue is moving.")


def _row(row: MoveRow) -> Row:
    works = {True: "yes", False: Bad("no"), None: "elsewhere"}[row.lives]
    left, held = (Bad("?") if count is None else count for count in (row.left, row.held))
    since = format_time(row.since)
    return row.queue, row.source, row.target, row.mode, row.phase, row.copied, left, held, works, since
