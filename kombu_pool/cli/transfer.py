"""The command that takes what waits in queues to another broker."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from kombu_pool.cli import options
from kombu_pool.cli.broker import open_broker
from kombu_pool.cli.signals import deferred_interrupt
from kombu_pool.cli.tables import escaped, print_json, print_table
from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError
from kombu_pool.operator.other_broker import open_other_broker
from kombu_pool.operator.transfer import Transfer, TransferResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kombu_pool.cli.broker import Broker
    from kombu_pool.operator.other_broker import OtherBroker

#: Exit status of an interrupted command, as shells use it.
_INTERRUPTED = 130


@click.command("transfer")
@click.argument("queues", metavar="QUEUE...", nargs=-1, required=True)
@click.option("--to", "url", required=True, help="URL of the other broker: amqp://..., redis://..., pool+...")
@click.option("--options", "given", type=options.JSON_OBJECT, help="Its broker_transport_options, as JSON.")
@options.as_json
@click.pass_context
def transfer(
    context: click.Context, queues: Sequence[str], url: str, given: dict[str, Any] | None, as_json: bool
) -> None:
    """Publish what waits in QUEUE to another broker, delayed tasks with their time, and delete it here.

    What a worker holds stays, and is named: exit with 1 then. Ctrl-C stops after the current step; called again, the
    command goes on where it ended.
    """
    results: dict[str, TransferResult] = {}
    with open_broker(context) as broker, deferred_interrupt() as interrupted:
        try:
            with open_other_broker(url, given or {}, *broker[:2]) as other:
                for queue in dict.fromkeys(queues):
                    if not interrupted:
                        results[queue] = TransferResult()
                        _transfer(broker, queue, other, results[queue], interrupted)
        except KombuPoolError as error:
            _report(results, as_json=as_json)
            raise click.ClickException(escaped(mask(str(error)))) from error
    _report(results, as_json=as_json)
    if interrupted or any(result.remaining or result.duplicated for result in results.values()):
        context.exit(_INTERRUPTED if interrupted else 1)


def _transfer(
    broker: Broker, queue: str, other: OtherBroker, result: TransferResult, interrupted: Sequence[int]
) -> None:
    with _progress_bar(queue) as draw:

        def progress(done: TransferResult) -> bool:
            draw(done)
            return bool(interrupted)

        Transfer(broker.store, broker.project, queue, other, result).run(progress)


@contextmanager
def _progress_bar(queue: str) -> Iterator[Callable[[TransferResult], object]]:
    """Draw a progress bar if stderr is a terminal; yield the function that updates it."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    bar: Any
    with click.progressbar(length=1, label=escaped(queue), file=sys.stderr) as bar:

        def draw(done: TransferResult) -> None:
            bar.length = max(done.total, 1)
            bar.update(done.moved - bar.pos)

        yield draw


def _report(results: dict[str, TransferResult], *, as_json: bool) -> None:
    if as_json:
        print_json({"queues": {queue: asdict(result) for queue, result in results.items()}})
        return
    rows = [
        (queue, result.ready, result.delayed, sum(result.remaining.values()), _reasons(result))
        for queue, result in results.items()
    ]
    print_table(("QUEUE", "READY", "DELAYED", "REMAINING", "WHY"), rows)
    duplicated = sum(result.duplicated for result in results.values())
    if duplicated:
        click.echo(f"{duplicated} were published, and a consumer of this broker got them, too.", err=True)


def _reasons(result: TransferResult) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(result.remaining.items()))
