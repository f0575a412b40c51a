"""Commands for dead letters: list and redrive."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import click

from kombu_pool.cli.broker import open_broker
from kombu_pool.cli.dead_letter_format import REASONS, body_summary, join_names, printable, reason_name
from kombu_pool.cli.signals import deferred_interrupt
from kombu_pool.cli.tables import format_time, print_table
from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError, QueueDoesNotExist
from kombu_pool.storage.redrive import DeadLetterFilter, DeadLetterScan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kombu_pool.cli.broker import Broker
    from kombu_pool.cli.tables import Row
    from kombu_pool.model import Message, RedriveResult

#: Number of messages of a queue that are searched for dead letters.
_MAX_SEARCHED = 100
#: Exit status of an interrupted command, as shells use it.
_INTERRUPTED = 130
_REASON = click.Choice(sorted(REASONS))


@click.command("dead")
@click.argument("queue", required=False)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Messages of QUEUE to read.")
@click.pass_context
def list_dead(context: click.Context, queue: str | None, limit: int) -> None:
    """List the first dead letters in QUEUE; without QUEUE, the queues that have dead letters, with the reasons."""
    if queue is not None:
        with open_broker(context) as broker:
            _require(broker, queue)
            rows = [_message_row(message) for message in _first(broker, queue, limit) if "dead_letter" in message]
        print_table(("ID", "FROM", "REASON", "COUNT", "WHEN", "BODY"), rows)
        return
    with open_broker(context) as broker:
        entries = broker.store.control.catalogue_controller.list(broker.project)
        rows = [row for entry in entries if (row := _queue_row(broker, entry["queue"])) is not None]
    print_table(("QUEUE", "READY", "FROM", "REASONS", "LAST"), rows)


def _first(broker: Broker, queue: str, limit: int) -> list[Message]:
    store, project = broker
    return list(next(store.message_controller.list(queue, project, limit=limit, echo=True)))


def _message_row(message: Message) -> Row:
    header = message["dead_letter"]
    reason, time = header["reason"], format_time(header["time"])
    return (
        message["id"], printable(header["queue"]), reason_name(reason), header["count"], time,
        body_summary(message["body"], reason),
    )  # fmt: skip


def _queue_row(broker: Broker, queue: str) -> Row | None:
    try:
        dead_letters = [each["dead_letter"] for each in _first(broker, queue, _MAX_SEARCHED) if "dead_letter" in each]
        ready = broker.store.message_controller.count(queue, broker.project)
    except KombuPoolError as error:
        # An error of one queue must not hide the others.
        return queue, "?", "?", "?", printable(mask(str(error)))
    if not dead_letters:
        return None
    origins, reasons = (each["queue"] for each in dead_letters), (reason_name(each["reason"]) for each in dead_letters)
    last = max(each["time"] for each in dead_letters)
    return queue, ready, join_names(origins), join_names(reasons), format_time(last)


@click.command("redrive")
@click.argument("queue")
@click.option("--to", "target", help="Queue to move all of them to, instead of the queues that they came from.")
@click.option("--limit", type=click.IntRange(min=0), default=0, help="Most dead letters to move.  [default: all]")
@click.option("--reason", "reasons", multiple=True, type=_REASON, help="Only dead letters with this reason.")
@click.option("--from", "origins", multiple=True, help="Only dead letters from this queue.")
@click.option("--id", "ids", multiple=True, help="Only the dead letter with this id.")
@click.option("--dry-run", is_flag=True, help="Print what would be moved, and move nothing.")
@click.pass_context
def redrive(
    context: click.Context, /, queue: str, target: str | None, limit: int, dry_run: bool, **chosen: tuple[str, ...]
) -> None:
    """Move the dead letters in QUEUE back to the queues that they came from; exit with 1 if some remain.

    --reason, --from and --id may be repeated. Ctrl-C stops after the current step.
    """
    reasons, origins, ids = chosen["reasons"], chosen["origins"], chosen["ids"]
    selection = DeadLetterFilter([REASONS[reason] for reason in reasons] or None, origins or None, ids or None)
    with open_broker(context) as broker:
        if dry_run:
            _preview(broker, queue, target, selection, limit)
            return
        with _progress_bar() as draw, deferred_interrupt() as interrupted:

            def progress(done: RedriveResult) -> bool:
                draw(done)
                return bool(interrupted)

            done = broker.store.redrive(
                queue, broker.project, target=target, limit=limit, progress=progress, **selection._asdict()
            )
    _report(done)
    if interrupted or done.remaining:
        context.exit(_INTERRUPTED if interrupted else 1)


def _preview(broker: Broker, queue: str, target: str | None, selection: DeadLetterFilter, limit: int) -> None:
    _require(broker, queue)
    messages = chain.from_iterable(DeadLetterScan(broker.store.message_controller, queue, broker.project, selection))
    headers = (message["dead_letter"] for message in islice(messages, limit or None))
    counts = Counter((target or header["queue"], reason_name(header["reason"])) for header in headers)
    exists = {name: "yes" if broker.store.queue_controller.exists(name, broker.project) else "no" for name, _ in counts}
    rows = [(name, reason, count, exists[name]) for (name, reason), count in sorted(counts.items())]
    print_table(("TO", "REASON", "COUNT", "EXISTS"), rows)


def _require(broker: Broker, queue: str) -> None:
    if not broker.store.queue_controller.exists(queue, broker.project):
        raise QueueDoesNotExist(queue, broker.project)


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
    print_table(("TO", "REQUEUED", "REMAINING", "ERROR"), rows)
    if done.duplicated:
        click.echo(f"{done.duplicated} were requeued and also remain: their claim expired meanwhile.", err=True)


def _refusal(done: RedriveResult, queue: str) -> str | None:
    refusal = done.refusals.get(queue)
    return None if refusal is None else printable(mask(str(refusal)))
