"""``celery pool`` and ``python -m kombu_pool``: a broker's queues, messages, dead letters and pools."""

from __future__ import annotations

from typing import Any, NamedTuple

import click

from kombu_pool.cli.broker import BrokerUrl
from kombu_pool.cli.dead_letters import list_dead, redrive
from kombu_pool.cli.doctor import doctor
from kombu_pool.cli.draining import drain_pool, rebalance_pools
from kombu_pool.cli.messages import peek, purge
from kombu_pool.cli.moves import list_moves, move
from kombu_pool.cli.options import JSON_OBJECT
from kombu_pool.cli.pausing import pause, resume
from kombu_pool.cli.pools import add_pool, apply, check_health, list_pools, remove_pool, set_pool
from kombu_pool.cli.queues import delete, list_queues, show, watch
from kombu_pool.cli.tasks import cancel, now, reschedule, tasks
from kombu_pool.cli.transfer import transfer
from kombu_pool.cli.web import web

__all__ = ["main", "pool"]

_COMMANDS = (
    list_queues, show, watch, delete, pause, resume, peek, purge, tasks, cancel, reschedule, now, list_dead, redrive,
    transfer, move, list_moves, list_pools, add_pool, set_pool, drain_pool, rebalance_pools, apply, remove_pool,
    check_health, doctor, web,
)  # fmt: skip
_INTERRUPTED = 130
_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"]}


class _Standalone(NamedTuple):
    """Has the place of Celery's own object of a command."""

    app: BrokerUrl


class _Group(click.Group):
    """A group of commands that end with 130 after Ctrl-C."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo(err=True)
            ctx.exit(_INTERRUPTED)


@click.group(cls=_Group, context_settings=_SETTINGS)
def pool() -> None:
    """See and manage the queues, messages, dead letters and pools of a pool:// broker.

    Exit status: 0, or 1 if something failed, remains or does not answer, 2 for a wrong usage, 130 after Ctrl-C.
    """


@click.group("kombu_pool", cls=_Group, context_settings=_SETTINGS)
@click.option("-b", "--broker", "url", required=True, envvar="KOMBU_POOL_BROKER", help="Broker URL: pool+sqlite:///...")
@click.option("--project", help="Project in which the commands work.")
@click.option("--transport-options", "given", type=JSON_OBJECT, help="broker_transport_options, as JSON.")
@click.pass_context
def main(context: click.Context, url: str, project: str | None, given: dict[str, Any] | None) -> None:
    """See and manage the queues, messages, dead letters and pools of a pool:// broker, without Celery.

    Exit status: 0, or 1 if something failed, remains or does not answer, 2 for a wrong usage, 130 after Ctrl-C.
    """
    options = {**(given or {}), **({} if project is None else {"project": project})}
    context.obj = _Standalone(BrokerUrl(url, options))


for command in _COMMANDS:
    pool.add_command(command)
    main.add_command(command)
