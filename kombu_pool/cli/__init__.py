"""``celery pool``: the commands for the pools, queues and dead letters of an application's broker."""

from __future__ import annotations

import click

from kombu_pool.cli.dead_letters import list_dead, redrive
from kombu_pool.cli.pools import add_pool, check_health, list_pools, list_queues, remove_pool, set_pool

__all__ = ["pool"]


@click.group()
def pool() -> None:
    """Manage the pools, queues and dead letters of a pool:// broker."""


for command in (list_pools, list_queues, add_pool, set_pool, remove_pool, check_health, list_dead, redrive):
    pool.add_command(command)
