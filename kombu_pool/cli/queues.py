"""Commands for the queues of a broker: list, show, watch, delete."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import click

from kombu_pool.cli import options
from kombu_pool.cli.broker import open_broker
from kombu_pool.cli.tables import Bad, escaped, format_time, is_terminal, print_json, print_table, warn
from kombu_pool.operator import removal
from kombu_pool.operator.formats import format_age
from kombu_pool.operator.queue_details import show_queue
from kombu_pool.operator.queues import list_queues as list_rows
from kombu_pool.operator.rates import compared, look
from kombu_pool.operator.workers import list_held

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kombu_pool.cli.tables import Row
    from kombu_pool.operator.queue_details import ConsumerView, QueueDetails
    from kombu_pool.operator.queues import QueueReport, QueueRow
    from kombu_pool.operator.rates import Look
    from kombu_pool.operator.workers import HeldRow

_SORTED_BY_RATE = ("growth", "in", "out")
_SORTED_BY = ("name", "pool", "ready", "delayed", "claimed", "oldest", "consumers", *_SORTED_BY_RATE)
_RATES = ("GROWTH/s", "IN/s", "OUT/s")
_COLUMNS = ("QUEUE", "POOL", "READY", "DELAYED", "CLAIMED", "OLDEST", "CONSUMERS")


def _choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Add the arguments and options that choose and sort queues."""
    for add in reversed(
        (
            click.argument("patterns", metavar="[NAME|PATTERN]...", nargs=-1),
            click.option("--pool", "pools", multiple=True, help="Only queues in this pool; may be repeated."),
            click.option("--all", "internal", is_flag=True, help="Celery's own queues and those for replies, too."),
            click.option(
                "--sort", "order", type=click.Choice(_SORTED_BY), default="name", show_default=True, help="Sort by."
            ),
            options.timeout,
        )
    ):
        command = add(command)
    return command


@click.command("queues")
@_choosing
@click.option(
    "--for", "seconds", type=options.DURATION, help="Look twice, 5s apart, and show the growth and the rates."
)
@options.as_json
@click.pass_context
def list_queues(context: click.Context, /, order: str, seconds: float | None, as_json: bool, **chosen: Any) -> None:
    """List the queues: messages by state, age of the oldest ready one, consumers.

    A count that ends with + is a lower bound. Exits with 1 if a pool does not answer.
    """
    if seconds is None and order in _SORTED_BY_RATE:
        raise click.UsageError(f"--sort {order} needs --for: a rate is the difference between two looks.")
    with open_broker(context) as broker:
        if seconds is None:
            report = list_rows(broker.store, broker.project, **chosen)
        else:
            before = look(broker.store, broker.project, **chosen)
            time.sleep(seconds)
            report = compared(before, look(broker.store, broker.project, **chosen))
    report = replace(report, queues=_sorted(report.queues, order))
    if as_json:
        print_json({**asdict(report), "totals": asdict(report.totals)})
    else:
        _print_report(report, with_rates=seconds is not None)
    if report.unreachable:
        context.exit(1)


def _sorted(rows: Sequence[QueueRow], order: str) -> list[QueueRow]:
    """Return the rows by name or pool, or those with the highest numbers first, and unknown ones last."""
    if order in ("name", "pool"):
        return sorted(rows, key=lambda row: (row.pool if order == "pool" else "", row.queue))
    field = {"oldest": "oldest_age", "in": "rate_in", "out": "rate_out"}.get(order, order)
    return sorted(rows, key=lambda row: (-_number(getattr(row, field)), row.queue))


def _number(value: float | None) -> float:
    return float("-inf") if value is None else value


def _print_report(report: QueueReport, *, with_rates: bool) -> None:
    rows = [_row(row, with_rates=with_rates) for row in report.queues]
    if len(rows) > 1:
        totals, plus = report.totals, "" if report.totals.exact else "+"
        counts = (f"{count}{plus}" for count in (totals.ready, totals.delayed, totals.claimed))
        rows.append(
            (
                f"{totals.queues} queues",
                None,
                *counts,
                None,
                totals.consumers,
                *([None] * len(_RATES) if with_rates else []),
            )
        )
    columns = (*_COLUMNS, *_RATES) if with_rates else _COLUMNS
    if any(row.paused for row in report.queues):
        states = [Bad("paused") if row.paused else None for row in report.queues]
        rows = [(*row, state) for row, state in zip_longest(rows, states)]
        columns = (*columns, "STATE")
    print_table(columns, rows, empty="There are no such queues." if report.hidden else "There are no queues.")
    if report.hidden and is_terminal():
        click.echo(f"{report.hidden} more of Celery's own and for replies: --all")
    for reason in report.unreachable.values():
        warn(reason)


def _row(row: QueueRow, *, with_rates: bool) -> Row:
    if row.error is not None:
        counts: tuple[object, ...] = (Bad("?"), Bad("?"), Bad("?"), Bad("?"))
    else:
        plus = "" if row.exact else "+"
        counts = (*(f"{count}{plus}" for count in (row.ready, row.delayed, row.claimed)), format_age(row.oldest_age))
    consumers = Bad("0") if row.ready and not row.consumers else row.consumers
    growth = None if row.growth is None else f"{row.growth:+g}"
    rates = (growth, row.rate_in, row.rate_out) if with_rates else ()
    return (row.queue, Bad(row.pool) if row.error else row.pool, *counts, consumers, *rates)


@click.command("watch")
@_choosing
@click.option("--every", type=options.DURATION, default="2s", show_default=True, help="Time between two looks.")
@click.option("--times", type=click.IntRange(min=1), help="Number of looks.  [default: until Ctrl-C]")
@options.as_json
@click.pass_context
def watch(context: click.Context, /, order: str, every: float, times: int | None, as_json: bool, **chosen: Any) -> None:
    """Show the queues again and again, with the growth and the rates since the last look, until Ctrl-C.

    With --json one document a line.
    """
    before: Look | None = None
    with open_broker(context) as broker:
        while times is None or times > 0:
            began = time.monotonic()
            last = look(broker.store, broker.project, **chosen)
            report = last.report if before is None else compared(before, last)
            _show_look(replace(report, queues=_sorted(report.queues, order)), as_json=as_json)
            before, times = last, None if times is None else times - 1
            if times != 0:
                time.sleep(max(0.0, began + every - time.monotonic()))


def _show_look(report: QueueReport, *, as_json: bool) -> None:
    if as_json:
        print_json({"time": time.time(), **asdict(report), "totals": asdict(report.totals)}, in_one_line=True)
        return
    if is_terminal():
        click.clear()
    click.echo(format_time(time.time()))
    _print_report(report, with_rates=True)


@click.command("queue")
@click.argument("name")
@options.timeout
@options.as_json
@click.pass_context
def show(context: click.Context, name: str, timeout: float | None, as_json: bool) -> None:
    """Show all of the queue NAME: messages, arguments, bindings, consumers, and which process holds which message.

    Exits with 1 if its pool does not answer.
    """
    with open_broker(context) as broker:
        details = show_queue(broker.store, broker.project, name, timeout=timeout)
        held = list_held(broker.store, broker.project, [details.row], timeout).held
    if as_json:
        print_json({**_document(details), "held": [asdict(row) for row in held]})
    else:
        _print_details(details)
        _print_held(held)
    if details.row.error is not None:
        warn(details.row.error)
        context.exit(1)


def _document(details: QueueDetails) -> dict[str, Any]:
    document = asdict(details)
    return {**document.pop("row"), **document}


def _print_details(details: QueueDetails) -> None:
    row = details.row
    plus = "" if row.exact else "+"
    facts: list[tuple[str, object]] = [
        ("queue", row.queue),
        ("pool", f"{row.pool} ({details.uri})"),
        *((name, "?" if count is None else f"{count}{plus}") for name, count in _counts(row)),
        ("oldest", format_age(row.oldest_age) or "-"),
        *([("state", "paused")] if row.paused else []),
        *((name, _value(value)) for name, value in _declared(details)),
    ]
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        click.echo(f"{name:<{width}}  {escaped(str(value))}")
    if details.bindings:
        click.echo()
        print_table(
            ("EXCHANGE", "ROUTING KEY"), [(binding.exchange, binding.routing_key) for binding in details.bindings]
        )
    click.echo()
    rows = [_consumer(consumer) for consumer in details.consumed_by]
    print_table(("HOST", "PID", "SINCE", "CONSUMER"), rows, empty="No consumers.")


def _counts(row: QueueRow) -> tuple[tuple[str, int | None], ...]:
    return ("ready", row.ready), ("delayed", row.delayed), ("claimed", row.claimed)


def _declared(details: QueueDetails) -> list[tuple[str, Any]]:
    declared = dict(details.declared)
    arguments = declared.pop("arguments", None) or {}
    return [(name, value) for name, value in sorted({**declared, **arguments}.items()) if value is not None]


def _value(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, bool | dict | list) or value == "" else str(value)


def _consumer(consumer: ConsumerView) -> Row:
    mark = Bad if consumer.dead else str
    tag = f"{consumer.tag} (its process has ended)" if consumer.dead else consumer.tag
    return mark(consumer.host or "?"), consumer.pid, format_time(consumer.since), mark(tag)


def _print_held(held: Sequence[HeldRow]) -> None:
    if held:
        click.echo()
        print_table(("HELD BY", "PID", "TASK", "ID", "AGE", "CLAIMS", "RENEWED"), [_held(row) for row in held])


def _held(row: HeldRow) -> Row:
    worker, claim = row.worker, (row.task, row.id, format_age(row.age), row.claim_count, f"{format_age(row.held)} ago")
    if worker is None:
        return "?", None, *claim
    mark = Bad if worker.dead else str
    return mark(worker.host or "?"), worker.pid, *claim


@click.command("delete")
@click.argument("name")
@click.option("--if-empty", is_flag=True, help="Only if it has no message.")
@click.option("--if-unused", is_flag=True, help="Only if it has no consumer.")
@options.without_asking
@click.pass_context
def delete(context: click.Context, name: str, if_empty: bool, if_unused: bool, yes: bool) -> None:
    """Delete the queue NAME with its messages and bindings; its consumers are cancelled."""
    with open_broker(context) as broker:
        row = show_queue(broker.store, broker.project, name).row
        removal.require_deletable(row, if_empty=if_empty, if_unused=if_unused)
        total = "an unknown number of" if row.total is None else row.total
        options.confirm(f"Delete {escaped(name)} with {total} messages and {row.consumers} consumers?", yes)
        # Messages and consumers may have come before the answer.
        removal.delete_queue(broker.store, broker.project, name, if_empty=if_empty, if_unused=if_unused)
    click.echo(f"Deleted {escaped(name)}.")
