"""Commands for tasks that wait: list, cancel, reschedule, run now."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from kombu_pool.cli import options
from kombu_pool.cli.broker import BrokerUrl, open_broker
from kombu_pool.cli.tables import format_time, print_json, print_table, warn
from kombu_pool.drivers import mask
from kombu_pool.operator import tasks as operator
from kombu_pool.operator.formats import format_age
from kombu_pool.operator.times import read_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kombu_pool.cli.tables import Row
    from kombu_pool.model import FoundMessage
    from kombu_pool.operator.tasks import TaskAnswer, TaskReport, TaskRow

_COLUMNS = ("TASK ID", "TASK", "QUEUE", "STATE", "AGE", "DUE")
#: Tasks that are listed without --limit.
_LISTED = 20
_in_queue = click.option("--queue", help="Only in this queue: quicker, where there are many.")
_ids = click.argument("ids", metavar="TASK_ID...", nargs=-1, required=True)


class Time(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A time in ISO 8601; without a zone it is in UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return read_time(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("tasks")
@click.argument("names", metavar="[NAME|PATTERN]...", nargs=-1)
@click.option("--id", "ids", multiple=True, help="The task with this id, in any state; may be repeated.")
@click.option("--queue", "queues", multiple=True, help="Only in this queue, or those of this pattern; may be repeated.")
@click.option("--state", type=click.Choice(["ready", "delayed"]), help="Only tasks in this state.")
@click.option("--older-than", type=options.DURATION, help="Only tasks that have waited for so long, 1s at least.")
@click.option("--limit", type=click.IntRange(min=1), help="Tasks to list.  [default: 20]")
@options.as_json
@click.pass_context
def tasks(
    context: click.Context, /, names: tuple[str, ...], ids: tuple[str, ...], queues: tuple[str, ...],
    limit: int | None, as_json: bool, **chosen: Any,
) -> None:  # fmt: skip
    """Count the tasks that wait, by name; with NAME, or --id, list them.

    The first 1000 ready and 1000 delayed messages of each queue are read.
    """
    if ids and (names or limit or len(queues) > 1 or any(chosen.values())):
        raise click.UsageError(
            "With --id there are no NAME, --state, --older-than and --limit, and at most one --queue."
        )
    selection = _selection(names, **chosen)
    with open_broker(context) as broker:
        if ids:
            answer = operator.find_tasks(broker.store, broker.project, ids, *queues)
        else:
            report = operator.list_tasks(broker.store, broker.project, selection, queues=queues)
    if ids:
        _print_answer(context, answer, "found", as_json=as_json)
    else:
        _print_report(context, report, (limit or _LISTED) if names else None, as_json=as_json)


def _selection(names: tuple[str, ...], state: str | None, older_than: float | None) -> operator.TaskFilter:
    if older_than is not None and older_than < 1:
        raise click.UsageError("--older-than must be 1s or more: ages are whole seconds.")
    return operator.TaskFilter(names, state, older_than or 0.0)


def _print_report(context: click.Context, report: TaskReport, listed: int | None, *, as_json: bool) -> None:
    summaries = [] if listed else report.summaries()
    if as_json:
        found: list[Any] = report.tasks[:listed] if listed else summaries
        print_json(
            {"tasks": [asdict(row) for row in found], "complete": report.complete, "unreachable": report.unreachable}
        )
    elif listed:
        print_table(_COLUMNS, [_row(row) for row in report.tasks[:listed]], empty="No such task waits.")
    else:
        rows: list[Row] = [
            (row.task, row.queue, row.ready, row.delayed, format_age(row.oldest_age), format_time(row.next_due))
            for row in summaries
        ]
        print_table(("TASK", "QUEUE", "READY", "DELAYED", "OLDEST", "NEXT DUE"), rows, empty="No such task waits.")
    _finish(context, report, as_json=as_json)


def _finish(context: click.Context, report: TaskReport, *, as_json: bool) -> None:
    if not report.complete and not as_json:
        click.echo("There are more: the first 1000 messages in each state of each queue were read.", err=True)
    for reason in report.unreachable.values():
        warn(reason)
    if report.unreachable:
        context.exit(1)


def _row(row: TaskRow) -> Row:
    return row.id, row.task, row.queue, row.state, format_age(row.age), format_time(row.due)


@click.command("cancel")
@_ids
@_in_queue
@options.as_json
@click.pass_context
def cancel(context: click.Context, ids: Sequence[str], queue: str | None, as_json: bool) -> None:
    """Cancel tasks that wait. What a worker holds is left alone; then, or for an unknown id, exit with 1.

    So is a dead letter. With an application (celery -A), a cancelled task is REVOKED, its chord fails, and task-revoked
    is sent. Without one, or without a result backend, its result stays PENDING; also if the result backend fails: then
    exit with 1.
    """
    app, failures = context.obj.app, list[Exception]()
    told = None if isinstance(app, BrokerUrl) else _teller(app, failures)
    with open_broker(context) as broker:
        answer = operator.cancel_tasks(broker.store, broker.project, ids, queue, told)
    if answer.tasks and told is None and not as_json:
        click.echo("The results of these tasks stay PENDING: there is no result backend at hand.", err=True)
    are_revoked = bool(answer.tasks) and told is not None and not failures
    _print_answer(context, answer, "cancelled", as_json=as_json, results="REVOKED" if are_revoked else "PENDING")
    if failures:
        context.exit(1)


def _teller(app: Any, failures: list[Exception]) -> Callable[[Sequence[FoundMessage]], None] | None:
    """Return what tells an application of cancelled tasks, and collects the failures; None without a result backend."""
    from kombu_pool.contrib.tasks import revoker  # noqa: PLC0415 - not without an application

    revoke = revoker(app)
    if revoke is None:
        return None

    def tell(messages: Sequence[FoundMessage]) -> None:
        for task_id, error in revoke(messages).items():
            failures.append(error)
            warn(f"{task_id}: the task is cancelled, but its result cannot be stored: {mask(str(error))}")

    return tell


@click.command("reschedule")
@_ids
@click.option("--in", "seconds", type=options.DURATION, help="How long from now: 90s, 5m, 2h.")
@click.option("--at", "due", type=Time(), help="When, in ISO 8601; without a zone in UTC.")
@click.option("--priority", type=click.IntRange(0, 255), help="Another priority.")
@_in_queue
@options.as_json
@click.pass_context
def reschedule(
    context: click.Context, /, ids: Sequence[str], seconds: float | None, due: float | None, as_json: bool, **to: Any
) -> None:
    """Change when tasks that wait may run, or their priority. Exits as cancel does."""
    if seconds is not None and due is not None:
        raise click.UsageError("--in and --at are two times.")
    due = due if seconds is None else time.time() + seconds
    if due is None and to["priority"] is None:
        raise click.UsageError("--in, --at or --priority says what to change.")
    with open_broker(context) as broker:
        answer = operator.change_tasks(broker.store, broker.project, ids, due=due, **to)
    _print_answer(context, answer, "changed", as_json=as_json)


@click.command("now")
@_ids
@_in_queue
@options.as_json
@click.pass_context
def now(context: click.Context, ids: Sequence[str], queue: str | None, as_json: bool) -> None:
    """Make delayed tasks ready now. Exits as cancel does."""
    with open_broker(context) as broker:
        answer = operator.run_now(broker.store, broker.project, ids, queue)
    _print_answer(context, answer, "changed", as_json=as_json)


def _print_answer(context: click.Context, answer: TaskAnswer, done: str, *, as_json: bool, **more: str) -> None:
    if as_json:
        document = asdict(answer)
        print_json({done: document.pop("tasks"), **document, **more})
    else:
        if answer.tasks:
            print_table(_COLUMNS, [_row(row) for row in answer.tasks])
        for row in answer.claimed:
            warn(f"{row.id}: a worker holds it, in {row.queue}; celery control revoke stops it.")
        for row in answer.dead_letters:
            warn(f"{row.id}: a dead letter is not cancelled; celery pool dead {row.queue} --delete deletes it.")
        where = " in the pools that answer" if answer.unreachable else ""
        for task_id in answer.missing:
            warn(f"{task_id}: no such task waits{where}.")
        for reason in answer.unreachable.values():
            warn(reason)
    if not answer.is_whole:
        context.exit(1)
