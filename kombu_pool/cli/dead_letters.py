"""Dead letters: which there are, and the way back for them."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import click

from kombu_pool.cli.broker import opened
from kombu_pool.cli.dead_letter_format import REASONS, head_of, listed, printable, reason_of
from kombu_pool.cli.signals import patient
from kombu_pool.cli.tables import moment, show
from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError, QueueDoesNotExist
from kombu_pool.storage.redrive import DeadLetterFilter, DeadLetterScan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kombu_pool.cli.broker import Broker
    from kombu_pool.cli.tables import Row
    from kombu_pool.model import Message, RedriveResult

#: Messages of a queue that are looked at for dead letters: who has any, has them first in line.
_LOOKED_AT = 100
#: What a shell takes for a command that was interrupted.
_INTERRUPTED = 130


@click.command("dead")
@click.argument("queue", required=False)
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="DeadLetterScan of QUEUE to list."
)
@click.pass_context
def list_dead(context: click.Context, queue: str | None, limit: int) -> None:
    """List the first dead letters in QUEUE; or, without it, the queues that have some, and what they died of."""
    if queue is not None:
        with opened(context) as broker:
            _require(broker, queue)
            letters = [message for message in _first(broker, queue, limit) if "dead_letter" in message]
        show(("ID", "FROM", "REASON", "COUNT", "WHEN", "BODY"), [_letter_row(letter) for letter in letters])
        return
    with opened(context) as broker:
        entries = broker.store.control.catalogue_controller.list(broker.project)
        rows = [row for entry in entries if (row := _queue_row(broker, entry["queue"])) is not None]
    show(("QUEUE", "READY", "FROM", "REASONS", "LAST OF THEM"), rows)


def _first(broker: Broker, queue: str, limit: int) -> list[Message]:
    store, project = broker
    return list(next(store.message_controller.list(queue, project, limit=limit, echo=True)))


def _letter_row(message: Message) -> Row:
    letter = message["dead_letter"]
    reason, died = letter["reason"], moment(letter["time"])
    return (
        message["id"], printable(letter["queue"]), reason_of(reason), letter["count"], died,
        head_of(message["body"], reason),
    )  # fmt: skip


def _queue_row(broker: Broker, queue: str) -> Row | None:
    try:
        letters = [each["dead_letter"] for each in _first(broker, queue, _LOOKED_AT) if "dead_letter" in each]
        ready = broker.store.message_controller.count(queue, broker.project)
    except KombuPoolError as error:
        # Whatever is wrong with one queue, the others are listed.
        return queue, "?", "?", "?", printable(mask(str(error)))
    if not letters:
        return None
    origins, reasons = (letter["queue"] for letter in letters), (reason_of(letter["reason"]) for letter in letters)
    return queue, ready, listed(origins), listed(reasons), moment(max(letter["time"] for letter in letters))


@click.command("redrive")
@click.argument("queue")
@click.option("--to", "target", help="The queue that gets them all; else each goes where it came from.")
@click.option("--limit", type=click.IntRange(min=0), default=0, help="How many at the most.  [default: all]")
@click.option("--reason", "reasons", multiple=True, type=click.Choice(sorted(REASONS)), help="Only what died of it.")
@click.option("--from", "origins", multiple=True, help="Only what came from that queue.")
@click.option("--id", "ids", multiple=True, help="Only that letter.")
@click.option("--dry-run", is_flag=True, help="Only say what would go where.")
@click.pass_context
def redrive(
    context: click.Context, /, queue: str, target: str | None, limit: int, dry_run: bool, **chosen: tuple[str, ...]
) -> None:
    """Give the dead letters in QUEUE back to the queues that they came from; ends with 1 if some had to stay.

    --reason, --from and --id can be given several times. Ctrl-C ends it after the step that it is at.
    """
    reasons, origins, ids = chosen["reasons"], chosen["origins"], chosen["ids"]
    choice = DeadLetterFilter([REASONS[reason] for reason in reasons] or None, origins or None, ids or None)
    with opened(context) as broker:
        if dry_run:
            _foretell(broker, queue, target, choice, limit)
            return
        with _progress() as draw, patient() as interrupted:

            def progress(done: RedriveResult) -> bool:
                draw(done)
                return bool(interrupted)

            done = broker.store.redrive(
                queue, broker.project, target=target, limit=limit, progress=progress, **choice._asdict()
            )
    _report(done)
    if interrupted or done.remaining:
        context.exit(_INTERRUPTED if interrupted else 1)


def _foretell(broker: Broker, queue: str, target: str | None, choice: DeadLetterFilter, limit: int) -> None:
    _require(broker, queue)
    letters = chain.from_iterable(DeadLetterScan(broker.store, queue, broker.project, choice))
    headers = (letter["dead_letter"] for letter in islice(letters, limit or None))
    counts = Counter((target or header["queue"], reason_of(header["reason"])) for header in headers)
    exists = {name: broker.store.queue_controller.exists(name, broker.project) for name, _ in counts}
    rows = [(name, reason, count, _existence(exists[name])) for (name, reason), count in sorted(counts.items())]
    show(("TO", "REASON", "LETTERS", "EXISTS"), rows)


def _existence(exists: bool) -> str:
    return "yes" if exists else "no"


def _require(broker: Broker, queue: str) -> None:
    if not broker.store.queue_controller.exists(queue, broker.project):
        raise QueueDoesNotExist(queue, broker.project)


@contextmanager
def _progress() -> Iterator[Callable[[RedriveResult], object]]:
    """Draw a bar while it goes on, where somebody sees it; yield what is to be told."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    bar: Any
    with click.progressbar(length=1, label="Giving back", file=sys.stderr) as bar:

        def draw(done: RedriveResult) -> None:
            bar.length = done.total
            bar.update(done.seen - bar.pos)

        yield draw


def _report(done: RedriveResult) -> None:
    queues = sorted(done.moved.keys() | done.remaining.keys())
    rows = [(queue, done.moved.get(queue, 0), done.remaining.get(queue, 0), _why(done, queue)) for queue in queues]
    show(("TO", "GIVEN BACK", "LEFT", "WHY"), rows)
    if done.duplicated:
        click.echo(f"{done.duplicated} of them were given back too slowly, and are here still.", err=True)


def _why(done: RedriveResult, queue: str) -> str | None:
    refusal = done.refusals.get(queue)
    return None if refusal is None else printable(mask(str(refusal)))
