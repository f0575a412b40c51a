"""Commands for dead letters: list, delete and redrive."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from kombu_pool.cli import options
from kombu_pool.cli.broker import open_broker
from kombu_pool.cli.signals import deferred_interrupt
from kombu_pool.cli.tables import Bad, escaped, format_time, print_json, print_table
from kombu_pool.drivers import mask
from kombu_pool.operator import dead_letters, removal
from kombu_pool.operator.summaries import REASONS, UNREADABLE, join_names
from kombu_pool.storage.redrive import DeadLetterFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kombu_pool.cli.broker import Broker
    from kombu_pool.cli.tables import Row
    from kombu_pool.model import RedriveResult
    from kombu_pool.operator.dead_letters import DeadLetterQueue

#: Exit status of an interrupted command, as shells use it.
_INTERRUPTED = 130
_REASON = click.Choice(sorted(REASONS))
_ANY_REASON = click.Choice(sorted({**REASONS, **UNREADABLE}))


@click.command("dead")
@click.argument("queue", required=False)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Messages of QUEUE to read.")
@click.option("--delete", "deletes", is_flag=True, help="Delete the dead letters in QUEUE, or those that are chosen.")
@click.option("--reason", "reasons", multiple=True, type=_ANY_REASON, help="Delete only those with this reason.")
@click.option("--from", "origins", multiple=True, help="Delete only those from this queue.")
@click.option("--id", "ids", multiple=True, help="Delete only the one with this id.")
@options.timeout
@options.without_asking
@options.as_json
@click.pass_context
def list_dead(
    context: click.Context, /, queue: str | None, limit: int, deletes: bool, as_json: bool, **chosen: Any
) -> None:
    """List the first dead letters in QUEUE; without QUEUE, the queues that have dead letters, with the reasons.

    With --delete, delete them; --reason, --from and --id may be repeated. Ctrl-C stops after the current step.
    """
    yes, timeout = chosen.pop("yes"), chosen.pop("timeout")
    if timeout is not None and (deletes or queue is not None):
        raise click.UsageError("--timeout goes without QUEUE.")
    if not deletes and any(chosen.values()):
        raise click.UsageError("--reason, --from and --id choose what --delete deletes.")
    if deletes:
        if queue is None:
            raise click.UsageError("--delete needs QUEUE.")
        _delete(context, queue, chosen, yes=yes, as_json=as_json)
    elif queue is not None:
        _list(context, queue, limit, as_json=as_json)
    else:
        _list_queues(context, timeout, as_json=as_json)


def _list(context: click.Context, queue: str, limit: int, *, as_json: bool) -> None:
    with open_broker(context) as broker:
        rows = dead_letters.list_dead_letters(broker.store, broker.project, queue, limit)
    if as_json:
        print_json({"queue": queue, "dead_letters": [asdict(row) for row in rows]})
        return
    texts = [(row.id, row.origin, row.reason, row.count, format_time(row.time), row.body) for row in rows]
    empty = f"There is no dead letter among the first {limit} messages of {escaped(queue)}."
    print_table(("ID", "FROM", "REASON", "COUNT", "WHEN", "BODY"), texts, empty=empty)


def _list_queues(context: click.Context, timeout: float | None, *, as_json: bool) -> None:
    with open_broker(context) as broker:
        rows = dead_letters.queues_with_dead_letters(broker.store, broker.project, timeout)
    if as_json:
        print_json({"queues": [asdict(row) for row in rows]})
    else:
        empty = "There are no dead letters."
        print_table(("QUEUE", "READY", "FROM", "REASONS", "LAST"), [_queue_row(row) for row in rows], empty=empty)
    if any(row.error is not None for row in rows):
        context.exit(1)


def _queue_row(row: DeadLetterQueue) -> Row:
    if row.error is not None:
        return row.queue, Bad("?"), Bad("?"), Bad("?"), Bad(row.error)
    return row.queue, row.ready, join_names(row.origins), join_names(row.reasons), format_time(row.last)


def _delete(context: click.Context, queue: str, chosen: dict[str, Any], *, yes: bool, as_json: bool) -> None:
    reasons = [{**REASONS, **UNREADABLE}[reason] for reason in chosen["reasons"]]
    selection = DeadLetterFilter(reasons or None, chosen["origins"] or None, chosen["ids"] or None)
    with open_broker(context) as broker:
        what = "the chosen dead letters" if any(chosen.values()) else "all dead letters"
        options.confirm(f"Delete {what} in {escaped(queue)}?", yes)
        with deferred_interrupt() as interrupted:
            deleted = removal.delete_dead_letters(
                broker.store, broker.project, queue, selection, lambda _, __: bool(interrupted)
            )
    if as_json:
        print_json({"queue": queue, "deleted": deleted})
    else:
        click.echo(f"Deleted {deleted} dead letters from {escaped(queue)}.")
    if interrupted:
        context.exit(_INTERRUPTED)


@click.command("redrive")
@click.argument("queue")
@click.option("--to", "target", help="Queue to move all of them to, instead of the queues that they came from.")
@click.option("--limit", type=click.IntRange(min=0), default=0, help="Most dead letters to move.  [default: all]")
@click.option("--reason", "reasons", multiple=True, type=_REASON, help="Only dead letters with this reason.")
@click.option("--from", "origins", multiple=True, help="Only dead letters from this queue.")
@click.option("--id", "ids", multiple=True, help="Only the dead letter with this id.")
@click.option("--dry-run", is_flag=True, help="Print what would be moved, and move nothing.")
@options.as_json
@click.pass_context
def redrive(
    context: click.Context, /, queue: str, target: str | None, limit: int, dry_run: bool, as_json: bool, **chosen: Any
) -> None:
    """Move the dead letters in QUEUE back to the queues that they came from; exit with 1 if some remain.

    --reason, --from and --id may be repeated. Ctrl-C stops after the current step.
    """
    reasons, origins, ids = chosen["reasons"], chosen["origins"], chosen["ids"]
    selection = DeadLetterFilter([REASONS[reason] for reason in reasons] or None, origins or None, ids or None)
    with open_broker(context) as broker:
        if dry_run:
            _preview(broker, queue, target, selection, limit, as_json=as_json)
            return
        with _progress_bar() as draw, deferred_interrupt() as interrupted:

            def progress(done: RedriveResult) -> bool:
                draw(done)
                return bool(interrupted)

            done = broker.store.redrive(
                queue, broker.project, target=target, limit=limit, progress=progress, **selection._asdict()
            )
    if as_json:
        print_json(_result(done))
    else:
        _report(done)
    if interrupted or done.remaining:
        context.exit(_INTERRUPTED if interrupted else 1)


def _preview(
    broker: Broker, queue: str, target: str | None, selection: DeadLetterFilter, limit: int, *, as_json: bool
) -> None:
    found = dead_letters.preview_redrive(broker.store, broker.project, queue, target, selection, limit)
    if as_json:
        print_json({"queue": queue, "would_move": [asdict(row) for row in found]})
        return
    rows = [(row.to, row.reason, row.count, "yes" if row.exists else Bad("no")) for row in found]
    print_table(("TO", "REASON", "COUNT", "EXISTS"), rows, empty="Nothing would be moved.")


@contextmanager
def _progress_bar() -> Iterator[Callable[[RedriveResult], object]]:
    """Draw a progress bar if stderr is a terminal; yield the function that updates it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    bar: Any
    with click.progressbar(length=1, label="Requeuing", file=sys.stderr) as bar:

        def draw(done: RedriveResult) -> None:
            bar.length = done.total
            bar.update(done.seen - bar.pos)

        yield draw


def _report(done: RedriveResult) -> None:
    queues = sorted(done.moved.keys() | done.remaining.keys())
    rows = [(queue, done.moved.get(queue, 0), done.remaining.get(queue, 0), _refusal(done, queue)) for queue in queues]
    print_table(("TO", "REQUEUED", "REMAINING", "ERROR"), rows, empty="Nothing was moved.")
    if done.duplicated:
        click.echo(f"{done.duplicated} were requeued and also remain: their claim expired meanwhile.", err=True)


def _result(done: RedriveResult) -> dict[str, Any]:
    refusals = {queue: mask(str(error)) for queue, error in done.refusals.items()}
    return {"moved": done.moved, "remaining": done.remaining, "refusals": refusals, "duplicated": done.duplicated}


def _refusal(done: RedriveResult, queue: str) -> str | None:
    refusal = done.refusals.get(queue)
    return None if refusal is None else Bad(mask(str(refusal)))
