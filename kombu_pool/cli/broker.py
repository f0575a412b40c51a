"""The broker of a Celery application, or of a broker URL, opened for a command."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from kombu import Connection

from kombu_pool.cli.tables import escaped
from kombu_pool.drivers import is_created, mask, mask_uri
from kombu_pool.errors import KombuPoolError
from kombu_pool.pooling import declare_pools
from kombu_pool.transport import Transport
from kombu_pool.transport.options import read
from kombu_pool.transport.redaction import unredact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver


class Broker(NamedTuple):
    """The store behind a broker URL, and the project that the commands work in."""

    store: DataDriver
    project: Project
    #: The pools that the settings declare.
    declared: tuple[Mapping[str, Any], ...] = ()


class BrokerUrl:
    """In place of a Celery application: a broker URL and its transport options."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url = url
        self._options = dict(options)

    def connection_for_write(self) -> Connection:
        """Return a connection to the broker, as an application does."""
        return Connection(self._url, transport_options=self._options)


@contextmanager
def open_broker(context: click.Context, *, create: bool = False) -> Iterator[Broker]:
    """Open the control store of the application's broker URL, as the application itself does.

    Only a command that adds something may ``create`` it: a mistyped URL must not make a store, above all not one that
    belongs to the operator, and shuts out a worker of another user.
    """
    with context.obj.app.connection_for_write() as connection:
        options = unredact(connection.transport_options or {})
        # A command mends what these options refuse, so it must run without them.
        others = {name: value for name, value in options.items() if name not in ("pools", "flavors")}
        connection.transport_options = {**others, "queue_flavors": {}}
        if not isinstance(connection.transport, Transport):
            raise click.ClickException(f"{connection.as_uri()} is not a pool:// broker; did you forget -A?")
        try:
            uri, conf = connection.transport.control_store()
            settings = read(uri, options, conf)
            if not create and not is_created(settings.uri, conf=conf):
                raise click.ClickException(
                    f"{mask_uri(uri)} does not exist: a worker, a producer or celery pool add creates it."
                )
            pool_connection = connection.transport.establish_connection()
            try:
                broker = Broker(pool_connection.broker.data, pool_connection.options.project, settings.pools)
                _declare(broker, options)
                yield broker
            finally:
                connection.transport.close_connection(pool_connection)
        except KombuPoolError as error:
            raise click.ClickException(escaped(mask(str(error)))) from error


def _declare(broker: Broker, options: Mapping[str, Any]) -> None:
    """Add the pools and flavors of the settings, as a connection does; print what is refused."""
    settings = read(broker.store.control.uri, {name: options.get(name) for name in ("pools", "flavors")})
    try:
        declare_pools(broker.store.control, settings.pools, settings.flavors, broker.project)
    except KombuPoolError as error:
        click.echo(f"Warning: {escaped(mask(str(error)))}", err=True)
