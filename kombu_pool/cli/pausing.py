"""Commands that stop and start the consumers of a queue."""

from __future__ import annotations

import click

from kombu_pool.cli.broker import open_broker
from kombu_pool.cli.tables import escaped


@click.command("pause")
@click.argument("queue")
@click.pass_context
def pause(context: click.Context, queue: str) -> None:
    """Stop the delivery of messages of QUEUE until it is resumed.

    Consumers keep and finish the messages that they hold.
    """
    with open_broker(context) as broker:
        broker.store.queue_controller.pause(queue, broker.project)
    click.echo(f"Paused {escaped(queue)}.")


@click.command("resume")
@click.argument("queue")
@click.pass_context
def resume(context: click.Context, queue: str) -> None:
    """Resume the delivery of messages of QUEUE."""
    with open_broker(context) as broker:
        broker.store.queue_controller.resume(queue, broker.project)
    click.echo(f"Resumed {escaped(queue)}.")
