"""The transport: what Kombu asks of a broker connection, handed to :class:`PoolConnection`."""

from __future__ import annotations

import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from amqp.exceptions import RecoverableConnectionError
from kombu.transport import base

from kombu_pool import errors
from kombu_pool.transport import channel as channels
from kombu_pool.transport import options as options_of
from kombu_pool.transport.connection import PoolConnection
from kombu_pool.transport.declare.exchanges import TYPES
from kombu_pool.transport.publish import celery_groups
from kombu_pool.transport.redaction import conceal, reveal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu import Connection

#: Celery looks for the brokers that these steps of a worker can use in class attributes.
CELERY_STEPS = (("celery.worker.consumer.mingle", "Mingle"), ("celery.worker.consumer.gossip", "Gossip"))


class Transport(base.Transport):  # type: ignore[misc] # Kombu has no types
    """``pool://`` and ``pool+X://``."""

    Channel = channels.Channel
    driver_type = "pool"
    driver_name = "kombu-pool"
    default_port = None
    can_parse_url = True
    implements = base.Transport.implements.extend(
        asynchronous=True, batch_publish=True, heartbeats=False, exchange_type=TYPES
    )
    connection_errors = (*base.Transport.connection_errors, errors.ConnectionError, errors.StoreFull)
    channel_errors = base.Transport.channel_errors
    # Without these, Kombu gives a publish up once it fails on a new connection, whatever the retry policy says.
    recoverable_connection_errors = (RecoverableConnectionError, errors.ConnectionError, errors.StoreFull)
    recoverable_channel_errors = ()

    #: Seconds between giving a connection up and opening the next one: Kombu repeats what failed as soon as it is
    #: connected again, and a store that refuses at once would be asked without a pause.
    PAUSE = 0.1
    #: Monotonic, and the class's: Kombu takes a new transport after a failure.
    _given_up_at = float("-inf")

    def __init__(self, client: Connection, **options: Any) -> None:
        super().__init__(client, **options)
        self._connections: list[PoolConnection] = []
        if client.cycle is not None and not isinstance(client.cycle, Alternates):
            client.cycle = Alternates(client.cycle)
        conceal(client)
        for module, step in CELERY_STEPS:
            if module in sys.modules:
                getattr(sys.modules[module], step).compatible_transports |= {self.driver_type}
        celery_groups.install()

    def driver_version(self) -> str:
        """Return our version."""
        try:
            return version("kombu-pool")
        except PackageNotFoundError:
            return "N/A"

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """Return the broker URL, with the path that ``pool://`` stands for, and without the password."""
        shown = options_of.control_uri(self._whole(uri))
        return options_of.shown(shown, include_password=include_password, hidden=mask)

    def _whole(self, hostname: str | None) -> str:
        """Return a broker URL, of which Kombu keeps less in ``hostname``, or nothing but a host when it fails over."""
        text: str = reveal(hostname or "")
        if "://" in text:
            return text
        return options_of.joined(self._scheme, self._authority(text), self.client.virtual_host)

    @property
    def _scheme(self) -> str:
        name = self.client.transport_cls
        return name if isinstance(name, str) and name.startswith("pool") else "pool"

    def _authority(self, host: str) -> str:
        client = self.client
        password = client.password() if callable(client.password) else client.password
        who = quote(client.userid or "", safe="") + (f":{quote(password, safe='')}" if password else "")
        return (f"{who}@" if who else "") + host + (f":{client.port}" if client.port else "")

    def establish_connection(self) -> PoolConnection:
        """Open the control store.

        Raises:
            ConfigurationError: the URL or an option cannot work.
            ConnectionError: the store cannot be reached.
        """
        time.sleep(max(0.0, self._given_up_at + self.PAUSE - time.monotonic()))
        client = self.client
        uri, conf = options_of.from_file(options_of.control_uri(self._whole(client.hostname)))
        connection = PoolConnection(client, options_of.read(uri, reveal(client.transport_options or {}), conf))
        try:
            connection.memory.begin()
        except BaseException:
            connection.close()
            raise
        self._connections.append(connection)
        return connection

    def close_connection(self, connection: PoolConnection) -> None:
        """Close a connection; what it holds goes back at once."""
        if connection in self._connections:
            self._connections.remove(connection)
        connection.close()

    def _collect(self, connection: PoolConnection | None) -> None:
        """Give a connection up without a word to its store: it failed, or is the parent's."""
        if connection is not None and not connection.closed:
            connection.abandon()
            Transport._given_up_at = time.monotonic()

    def create_channel(self, connection: PoolConnection) -> channels.Channel:
        """Open a channel."""
        return connection.channel()

    def close_channel(self, channel: channels.Channel) -> None:
        """Close a channel."""
        channel.close()

    def drain_events(self, connection: PoolConnection, timeout: float | None = None) -> None:
        """Deliver one message, or raise ``socket.timeout``."""
        connection.drain_events(timeout)

    def verify_connection(self, connection: PoolConnection) -> bool:
        """Tell whether a connection is good, without asking its store."""
        return not connection.closed

    def register_with_event_loop(self, connection: PoolConnection, loop: Any) -> None:
        """Let the hub deliver what the fetchers fetch."""
        connection.bell().hang(loop, self.on_readable, connection, loop)

    def unregister_from_event_loop(self, connection: PoolConnection, loop: Any) -> None:
        """Undo :meth:`register_with_event_loop`."""
        connection.bell().take_down()

    def on_readable(self, connection: PoolConnection, loop: Any) -> None:
        """Deliver what is ready."""
        connection.on_readable()

    @property
    def channels(self) -> list[channels.Channel]:
        """The open channels."""
        return [channel for connection in self._connections for channel in connection.channels]

    def get_manager(self, *arguments: Any, **options: Any) -> Management:
        """Return what Kombu calls the management interface."""
        return Management(self)


class Management(base.Management):  # type: ignore[misc] # Kombu has no types
    """Says what is bound."""

    def get_bindings(self) -> list[dict[str, str]]:
        """Return every binding of the project."""
        channel = self.transport.client.default_channel
        return [
            {"destination": destination, "source": exchange, "routing_key": routing_key}
            for destination, exchange, routing_key in channel.get_bindings()
        ]


class Alternates:
    """Kombu's failover URLs, ours in a form that survives ``Connection.switch``."""

    def __init__(self, urls: Iterator[str]) -> None:
        self._urls = urls

    def __iter__(self) -> Alternates:
        return self

    def __next__(self) -> str:
        return options_of.quote_alternate(reveal(next(self._urls)))
