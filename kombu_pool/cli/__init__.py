"""``celery pool``: the pools of an application's broker, its queues and their health, on the command line."""

from __future__ import annotations

import click

from kombu_pool.cli.dead_letters import list_dead, redrive
from kombu_pool.cli.pools import add_pool, check_health, list_pools, list_queues, remove_pool, set_pool

__all__ = ["pool"]


@click.group()
def pool() -> None:
    """Pools, queues, dead letters and health of a pool:// broker."""


for command in (list_pools, list_queues, add_pool, set_pool, remove_pool, check_health, list_dead, redrive):
    pool.add_command(command)
