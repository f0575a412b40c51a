"""The broker of a Celery application, opened for a command."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import click

from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError
from kombu_pool.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver


class Broker(NamedTuple):
    """The store behind a broker URL, and the project that the commands work in."""

    store: DataDriver
    project: Project


@contextmanager
def open_broker(context: click.Context) -> Iterator[Broker]:
    """Open the control store of the application's broker URL, as the application itself does."""
    with context.obj.app.connection_for_write() as connection:
        options = connection.transport_options or {}
        # A command adds the pool of a flavor that this option names, so it must run without one.
        connection.transport_options = {name: value for name, value in options.items() if name != "queue_flavors"}
        if not isinstance(connection.transport, Transport):
            raise click.ClickException(f"{connection.as_uri()} is not a pool:// broker; did you forget -A?")
        try:
            pool_connection = connection.transport.establish_connection()
            try:
                yield Broker(pool_connection.broker.data, pool_connection.options.project)
            finally:
                connection.transport.close_connection(pool_connection)
        except KombuPoolError as error:
            raise click.ClickException(mask(str(error))) from error
