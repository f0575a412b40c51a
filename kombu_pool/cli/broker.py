"""The broker of a Celery application, opened for a command."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from kombu_pool.drivers import mask
from kombu_pool.errors import KombuPoolError
from kombu_pool.pooling import declare_pools
from kombu_pool.transport import Transport
from kombu_pool.transport.options import read
from kombu_pool.transport.redaction import unredact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver


#: Options of the application that a new connection checks against the control store.
_CHECKED = ("queue_flavors", "pools", "flavors")


class Broker(NamedTuple):
    """The store behind a broker URL, and the project that the commands work in."""

    store: DataDriver
    project: Project


@contextmanager
def open_broker(context: click.Context) -> Iterator[Broker]:
    """Open the control store of the application's broker URL, as the application itself does."""
    with context.obj.app.connection_for_write() as connection:
        options = unredact(connection.transport_options or {})
        # A command mends what these options refuse, so it must run without them.
        connection.transport_options = {name: value for name, value in options.items() if name not in _CHECKED}
        if not isinstance(connection.transport, Transport):
            raise click.ClickException(f"{connection.as_uri()} is not a pool:// broker; did you forget -A?")
        try:
            pool_connection = connection.transport.establish_connection()
            try:
                broker = Broker(pool_connection.broker.data, pool_connection.options.project)
                _declare(broker, options)
                yield broker
            finally:
                connection.transport.close_connection(pool_connection)
        except KombuPoolError as error:
            raise click.ClickException(mask(str(error))) from error


def _declare(broker: Broker, options: Mapping[str, Any]) -> None:
    """Add the pools and flavors of the settings, as a connection does; print what is refused."""
    settings = read(broker.store.control.uri, {name: options.get(name) for name in ("pools", "flavors")})
    try:
        declare_pools(broker.store.control, settings.pools, settings.flavors, broker.project)
    except KombuPoolError as error:
        click.echo(f"Warning: {mask(str(error))}", err=True)
