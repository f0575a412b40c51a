"""Another broker, of whatever transport of Kombu, to which messages are published as they are stored here."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from amqp.exceptions import ChannelError
from kombu import Connection
from kombu.exceptions import OperationalError

from kombu_pool.drivers import mask, mask_uri
from kombu_pool.errors import (
    ConfigurationError,
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    KombuPoolError,
)
from kombu_pool.operator.broker import usable
from kombu_pool.transport import Transport
from kombu_pool.transport.declare.queue_arguments import FLAVOR_ARGUMENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver

#: Bound of a connection attempt, in seconds.
_CONNECT_TIMEOUT = 10.0
#: Properties that Kombu's producer takes in a form of its own.
_CONVERTED = frozenset({"expiration", "content_type", "content_encoding"})


class OtherBroker:
    """An open connection to a broker; each publish returns when the broker has the message, where it can confirm."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._url = mask_uri(connection.as_uri())
        self._is_ours = isinstance(connection.transport, Transport)
        self._producer: Any = None

    def declare(self, queue: str, declared: Mapping[str, Any]) -> None:
        """Create the queue as it is declared here, unless the broker has it already, in whatever form."""
        with _translated(self._connection, self._url):
            try:
                with self._connection.channel() as channel:
                    channel.queue_declare(queue, passive=True)
            except (ChannelError, *self._connection.channel_errors):
                arguments = dict(declared.get("arguments") or {})
                if not self._is_ours:
                    arguments.pop(FLAVOR_ARGUMENT, None)
                with self._connection.channel() as channel:
                    channel.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments or None)
            self._producer = self._connection.Producer()

    def publish(self, queue: str, envelope: Mapping[str, Any], due: float | None, life: float | None) -> None:
        """Publish a message to a queue; a task that is due later keeps its time, and an expiration what is left of it.

        Raises:
            KombuPoolError: the broker does not answer, or refuses the message; it may have it.
        """
        headers = dict(envelope["headers"])
        if due is not None:
            headers["eta"] = datetime.fromtimestamp(due, timezone.utc).isoformat()
            if life is not None and self._is_ours:
                # A pool:// broker counts it from the time when the message is due.
                life = max(0.001, life - max(0.0, due - time.time()))
        properties = {name: value for name, value in envelope["properties"].items() if name not in _CONVERTED}
        with _translated(self._connection, self._url):
            self._producer.publish(
                envelope["body"],
                exchange="",
                routing_key=queue,
                headers=headers,
                content_type=envelope["content-type"],
                content_encoding=envelope["content-encoding"],
                expiration=life,
                **properties,
            )


@contextmanager
def _translated(connection: Connection, url: str) -> Iterator[None]:
    """Raise our errors for those of the broker within the block."""
    try:
        yield
    except KombuPoolError:
        raise
    except (OperationalError, *connection.connection_errors, *connection.channel_errors, OSError) as error:
        raise ConnectionError(f"{url}: {mask(str(error)) or type(error).__name__}") from error


@contextmanager
def open_other_broker(
    url: str, options: Mapping[str, Any], store: DataDriver, project: Project
) -> Iterator[OtherBroker]:
    """Connect to a broker by its URL and transport options.

    Raises:
        ConfigurationError: the URL cannot work, or leads to the very broker that the messages are in.
        ConnectionError: the broker cannot be reached.
    """
    with _connection(url, options) as connection:
        with _translated(connection, mask_uri(url)):
            connection.ensure_connection(max_retries=1, timeout=_CONNECT_TIMEOUT)
            _require_another(connection, url, store, project)
        yield OtherBroker(connection)


@contextmanager
def _connection(url: str, options: Mapping[str, Any]) -> Iterator[Connection]:
    connection = usable(lambda: Connection(url, transport_options=dict(options)))
    if connection.transport.driver_type == "amqp":
        # Without this, a publish returns before RabbitMQ has the message.
        connection.transport_options.setdefault("confirm_publish", True)
    with connection:
        yield connection


def _require_another(connection: Connection, url: str, store: DataDriver, project: Project) -> None:
    if isinstance(connection.transport, Transport):
        opened = connection.connection
        if opened.broker.control.identity == store.control.identity and opened.options.project == project:
            raise ConfigurationError(f"{mask_uri(url)} is the broker that the messages are in: name another one")
