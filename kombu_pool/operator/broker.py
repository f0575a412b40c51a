"""The broker of a Celery application, or of a broker URL, opened for an operator."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu import Connection

from kombu_pool.drivers import is_created, mask, mask_uri
from kombu_pool.errors import ConfigurationError, KombuPoolError
from kombu_pool.pooling import declare_pools
from kombu_pool.transport import Transport
from kombu_pool.transport.foreign_options import PREFIXES
from kombu_pool.transport.options import read
from kombu_pool.transport.redaction import unredact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver


class Broker(NamedTuple):
    """The store behind a broker URL, and the project that an operator works in."""

    store: DataDriver
    project: Project
    #: The pools that the settings declare.
    declared: tuple[Mapping[str, Any], ...] = ()
    #: Returns a connection of a client to the broker, with the options of the application and another project.
    connect: Callable[[Project], Connection] | None = None


class BrokerUrl:
    """In place of a Celery application: a broker URL and its transport options."""

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        self._url = url
        self._options = dict(options or {})

    def connection_for_write(self) -> Connection:
        """Return a connection to the broker, as an application does."""
        return Connection(self._url, transport_options=self._options)


def usable(make: Callable[[], Connection]) -> Connection:
    """Return the connection that ``make`` returns.

    Raises:
        ConfigurationError: Kombu has no transport of that name, its package is not installed, or the URL is no URL.
    """
    try:
        connection = make()
        connection.transport  # noqa: B018 - it is looked for now
    except (KeyError, ImportError, ValueError) as error:
        raise ConfigurationError(mask(str(error.args[0] if error.args else error))) from error
    return connection


@contextmanager
def open_broker(
    app: Any, *, create: bool = False, declare: bool = True, warn: Callable[[str], object] = print
) -> Iterator[Broker]:
    """Open the control store of an application's broker URL, as the application itself does.

    ``app`` is a Celery application or a :class:`BrokerUrl`. ``warn`` is called with what the declaration of the pools
    and flavors of the settings refuses. Only an action that adds something may ``create`` the store: a mistyped URL
    must not make one, above all not one that belongs to the operator, and shuts out a worker of another user.
    ``declare``: the pools and flavors of the settings that are absent are added.

    Raises:
        ConfigurationError: the URL is no pool:// broker, or its store does not exist.
        KombuPoolError: the store cannot be opened.
    """
    with usable(app.connection_for_write) as connection:
        options = unredact(connection.transport_options or {})
        # An operator mends what these options refuse, so the broker must open without them.
        others = {name: value for name, value in options.items() if name not in ("pools", "flavors")}
        connection.transport_options = {**others, "queue_flavors": {}}
        if not isinstance(connection.transport, Transport):
            raise ConfigurationError(f"{connection.as_uri()} is not a pool:// broker; did you forget -A?")
        uri, conf = connection.transport.control_store()
        settings = read(uri, options, conf)
        if not create and not is_created(settings.uri, conf=conf):
            raise ConfigurationError(
                f"{mask_uri(uri)} does not exist: a worker, a producer or celery pool add creates it."
            )
        pool_connection = connection.transport.establish_connection()
        try:
            connect = partial(_connect, connection, {**others, "queue_flavors": options.get("queue_flavors")})
            broker = Broker(pool_connection.broker.data, pool_connection.options.project, settings.pools, connect)
            if declare:
                _declare(broker, options, warn)
            yield broker
        finally:
            connection.transport.close_connection(pool_connection)


def _connect(connection: Connection, options: Mapping[str, Any], project: Project) -> Connection:
    """Return another connection to the broker, whose clients work in the project."""
    copy = connection.clone()
    # A prefix of queue names stands for a project, too.
    copy.transport_options = {**{name: options[name] for name in options if name not in PREFIXES}, "project": project}
    return copy


def _declare(broker: Broker, options: Mapping[str, Any], warn: Callable[[str], object]) -> None:
    """Add the pools and flavors of the settings, as a connection does."""
    settings = read(broker.store.control.uri, {name: options.get(name) for name in ("pools", "flavors")})
    try:
        declare_pools(broker.store.control, settings.pools, settings.flavors, broker.project)
    except KombuPoolError as error:
        warn(mask(str(error)))
