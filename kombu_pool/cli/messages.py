"""Commands for the messages of a queue: peek, purge."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kombu_pool.cli import options
from kombu_pool.cli.broker import open_broker
from kombu_pool.cli.tables import escaped, format_time, print_json, print_table
from kombu_pool.operator import messages, removal
from kombu_pool.operator.formats import format_age, format_size
from kombu_pool.operator.queue_details import show_queue

if TYPE_CHECKING:
    from kombu_pool.cli.tables import Row
    from kombu_pool.operator.messages import MessageView


@click.command("peek")
@click.argument("queue")
@click.option("--limit", type=click.IntRange(1, messages.MAX_SEARCHED), default=20, show_default=True, help="Messages.")
@click.option("--delayed", is_flag=True, help="The delayed messages, those that are due first, with the time.")
@click.option("--dead", is_flag=True, help="Only dead letters, with where they came from and why.")
@click.option("--task", help="Only tasks of this name.")
@click.option("--bodies", is_flag=True, help="Show the beginning of each body; of a task its arguments.")
@options.as_json
@click.pass_context
def peek(
    context: click.Context, queue: str, limit: int, delayed: bool, dead: bool, task: str | None, bodies: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Show the first messages of QUEUE, and change nothing. The bodies are hidden unless they are asked for.

    --dead and --task look at the first 1000 messages.
    """
    with open_broker(context) as broker:
        found = messages.peek(
            *broker[:2], queue, limit=limit, delayed=delayed, dead=dead, task=task, show_bodies=bodies
        )  # fmt: skip
    if as_json:
        print_json({"queue": queue, "messages": [asdict(view) for view in found]})
        return
    ends = ("FROM", "REASON") if dead else ("DUE",) if delayed else ()
    columns = ("ID", "AGE", "PRIORITY", "TASK", "TASK ID", "SIZE", *ends, *(("BODY",) if bodies else ()))
    kind = "dead" if dead else "delayed" if delayed else "ready"
    empty = f"{escaped(queue)} has no such message." if dead or task else f"{escaped(queue)} has no {kind} message."
    print_table(columns, [_row(view, dead=dead, delayed=delayed, bodies=bodies) for view in found], empty=empty)


def _row(view: MessageView, *, dead: bool, delayed: bool, bodies: bool) -> Row:
    letter = view.dead_letter or {}
    ends = (letter.get("queue"), letter.get("reason")) if dead else (format_time(view.due),) if delayed else ()
    age = format_age(view.age)
    task = view.task or view.content_type
    body = (view.body,) if bodies else ()
    return (view.id, age, view.priority, task, view.task_id, format_size(view.size), *ends, *body)


@click.command("purge")
@click.argument("queue")
@click.option("--keep-delayed", is_flag=True, help="Delete only what could be delivered now.")
@click.option("--task", help="Delete only tasks of this name.")
@options.without_asking
@options.as_json
@click.pass_context
def purge(context: click.Context, queue: str, keep_delayed: bool, task: str | None, yes: bool, as_json: bool) -> None:
    """Delete the messages of QUEUE that no consumer holds, delayed ones too.

    The result of a task that is deleted stays PENDING.
    """
    with open_broker(context) as broker:
        row = show_queue(broker.store, broker.project, queue).row
        options.confirm(f"Delete {_described(row.ready, row.delayed, keep_delayed, task)} from {escaped(queue)}?", yes)
        deleted = removal.purge(broker.store, broker.project, queue, keep_delayed=keep_delayed, task=task)
    if as_json:
        print_json({"queue": queue, "deleted": deleted})
    else:
        click.echo(f"Deleted {deleted} messages from {escaped(queue)}.")


def _described(ready: int | None, delayed: int | None, keep_delayed: bool, task: str | None) -> str:
    if task is not None:
        return f"the tasks {escaped(task)}"
    counted = "?" if ready is None else ready
    return f"{counted} ready messages" if keep_delayed else f"{counted} ready and {delayed} delayed messages"
