"""The transport: Kombu's interface to a broker, in terms of :class:`PoolConnection`."""

from __future__ import annotations

import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from kombu.transport import base

from kombu_pool import errors
from kombu_pool.drivers.parameters import Conflict
from kombu_pool.transport import broker_url, failover, foreign_options, worker_errors
from kombu_pool.transport import channel as channels
from kombu_pool.transport import options as options_of
from kombu_pool.transport.amqp_errors import RETRIED
from kombu_pool.transport.connection import PoolConnection
from kombu_pool.transport.consume import celery_prefetch, celery_schedule
from kombu_pool.transport.declare.exchanges import TYPES
from kombu_pool.transport.failover import FailoverUrls, check_alternates
from kombu_pool.transport.publish import celery_groups
from kombu_pool.transport.redaction import Redacted, redact, redact_connection, unredact

if TYPE_CHECKING:
    from kombu import Connection

    from kombu_pool.transport.consume.deliveries import Message

#: The worker steps whose class attribute lists the transports that they work with.
CELERY_STEPS = (("celery.worker.consumer.mingle", "Mingle"), ("celery.worker.consumer.gossip", "Gossip"))


class Transport(base.Transport):  # type: ignore[misc] # Kombu has no types
    """``pool://`` and ``pool+X://``."""

    Channel = channels.Channel
    driver_type = "pool"
    driver_name = "kombu-pool"
    can_parse_url = True
    implements = base.Transport.implements.extend(
        asynchronous=True, batch_publish=True, heartbeats=False, exchange_type=TYPES
    )
    connection_errors = (*base.Transport.connection_errors, errors.ConnectionError, errors.StoreFull)
    # Without these, Kombu ignores the retry policy of a publish that fails on a new connection.
    recoverable_connection_errors = RETRIED
    recoverable_channel_errors = ()

    #: Pause between abandoning a connection and opening the next one, in seconds: Kombu repeats a failed operation as
    #: soon as it is connected again, and would call a store that refuses at once in a busy loop.
    RECONNECT_PAUSE = 0.1
    #: Monotonic time, kept in the class: Kombu makes a new transport after a failure.
    _abandoned_at = float("-inf")

    def __init__(self, client: Connection, **options: Any) -> None:
        super().__init__(client, **options)
        self._connections: list[PoolConnection] = []
        failover.restore(client)
        if client.cycle is not None and not isinstance(client.cycle, FailoverUrls):
            client.cycle = FailoverUrls(client)
        # A copy of a connection is redacted: in it, a part given beside the URL is a wish for another one.
        self._is_refused = not isinstance(client.hostname, Redacted) and broker_url.is_refused(client)
        if self._is_refused:
            # Its copies are refused, too.
            client.password = redact(client.password, secret=True)
        else:
            redact_connection(client)
        for module, step in CELERY_STEPS:
            if module in sys.modules:
                getattr(sys.modules[module], step).compatible_transports |= {self.driver_type}
        celery_groups.install()
        celery_schedule.install()
        celery_prefetch.install()
        worker_errors.install()

    def driver_version(self) -> str:
        """Return the version of kombu_pool."""
        try:
            return version("kombu-pool")
        except PackageNotFoundError:
            return "N/A"

    def as_uri(self, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """Return the broker URL, with the full path that ``pool://`` stands for, and the password masked.

        Also of a URL that cannot work: a worker shows it before it connects.
        """
        if self._is_refused:
            return options_of.shown(str(unredact(uri)).removeprefix("pool+"), include_password=include_password)
        whole = broker_url.whole(self.client, uri, Conflict.REPLACE, with_password=include_password)
        return options_of.shown(options_of.control_uri(whole), include_password=include_password, hidden=mask)

    def control_store(self) -> tuple[str, Any]:
        """Return the URI of the control store, and the configuration if the broker URL names one.

        Raises:
            ConfigurationError: the URL cannot work.
        """
        client = self.client
        return options_of.from_file(options_of.control_uri(broker_url.whole(client, client.hostname, Conflict.REPLACE)))

    def establish_connection(self) -> PoolConnection:
        """Open the control store.

        Raises:
            ConfigurationError: the URL or an option cannot work.
            ConnectionError: the store cannot be reached.
        """
        time.sleep(max(0.0, self._abandoned_at + self.RECONNECT_PAUSE - time.monotonic()))
        client = self.client
        if self._is_refused:
            broker_url.whole(client, client.hostname, Conflict.REFUSE, with_password=False)
        check_alternates(client)
        foreign_options.warn_of_settings(client)
        uri, conf = self.control_store()
        connection = PoolConnection(client, options_of.read(uri, unredact(client.transport_options or {}), conf))
        try:
            connection.epoch.begin()
        except BaseException:
            connection.close()
            raise
        self._connections.append(connection)
        return connection

    def close_connection(self, connection: PoolConnection) -> None:
        """Close a connection, and release its messages at once."""
        if connection in self._connections:
            self._connections.remove(connection)
        connection.close()

    def _collect(self, connection: PoolConnection | None) -> None:
        """Give a connection up without a request to its store: it failed, or belongs to the parent process."""
        if connection is not None and not connection.closed:
            connection.abandon()
            Transport._abandoned_at = time.monotonic()

    def create_channel(self, connection: PoolConnection) -> channels.Channel:
        """Open a channel."""
        return channels.Channel(connection)

    def close_channel(self, channel: channels.Channel) -> None:
        """Close a channel."""
        channel.close()

    def drain_events(self, connection: PoolConnection, timeout: float | None = None) -> None:
        """Deliver one message, or raise ``socket.timeout``."""
        connection.dispatcher.drain_events(timeout)

    def verify_connection(self, connection: PoolConnection) -> bool:
        """Return whether a connection is open, without a request to its store."""
        return not connection.closed

    def register_with_event_loop(self, connection: PoolConnection, loop: Any) -> None:
        """Make the hub deliver the messages that the fetchers claim."""
        connection.dispatcher.waker().register(loop, connection.dispatcher.inbox.deliver_all)

    def unregister_from_event_loop(self, connection: PoolConnection, loop: Any) -> None:
        """Remove what :meth:`register_with_event_loop` added."""
        connection.dispatcher.waker().unregister()

    def delayed_tasks(self) -> list[Message]:
        """Return delayed tasks of the queues that its connections consume: see :class:`DelayedTasks`."""
        return [message for connection in self._connections for message in connection.delayed_tasks()]

    @property
    def channels(self) -> list[Any]:
        """The open channels."""
        return [channel for connection in self._connections for channel in connection.channels]

    def get_manager(self, *arguments: Any, **options: Any) -> Management:
        """Return Kombu's management interface."""
        return Management(self)


class Management(base.Management):  # type: ignore[misc] # Kombu has no types
    """Lists the bindings."""

    def get_bindings(self) -> list[dict[str, str]]:
        """Return every binding of the project."""
        channel = self.transport.client.default_channel
        return [
            {"destination": destination, "source": exchange, "routing_key": routing_key}
            for destination, exchange, routing_key in channel.get_bindings()
        ]
