"""Commands that stop and start the consumers of a queue."""

from __future__ import annotations

import click

from kombu_pool.cli.broker import open_broker
from kombu_pool.cli.tables import escaped


@click.command("pause")
@click.argument("queue")
@click.pass_context
def pause(context: click.Context, queue: str) -> None:
    """Let no consumer get messages of QUEUE, until it is resumed; what they hold already is worked off."""
    with open_broker(context) as broker:
        broker.store.queue_controller.pause(queue, broker.project)
    click.echo(f"Paused {escaped(queue)}.")


@click.command("resume")
@click.argument("queue")
@click.pass_context
def resume(context: click.Context, queue: str) -> None:
    """Let the consumers of QUEUE get messages again."""
    with open_broker(context) as broker:
        broker.store.queue_controller.resume(queue, broker.project)
    click.echo(f"Resumed {escaped(queue)}.")
