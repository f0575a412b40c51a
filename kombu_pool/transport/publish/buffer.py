"""Gathers the messages that a thread publishes in a row, so that each queue gets many of them in one post."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from kombu.exceptions import OperationalError

from kombu_pool.errors import ConnectionError as StoreConnectionError
from kombu_pool.transport.options import is_ours
from kombu_pool.transport.publish import unconfirmed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.model import IdempotencyKey, NewMessage
    from kombu_pool.transport.connection import PoolConnection
    from kombu_pool.transport.publish.publishing import PublishingMethods

logger = logging.getLogger(__name__)

#: What the context at hand gathers; each thread and each greenlet has its own.
current: ContextVar[Gathering | None] = ContextVar("gathering", default=None)


class Gathering:
    """What was published over one Kombu connection and is not posted yet.

    It belongs to the connection and not to a channel, for a channel does not survive a reconnect.
    """

    #: The most messages, and bytes of their bodies, that wait: a worker need not wait for the last of a long row.
    MOST, MOST_BYTES = 500, 1 << 22

    def __init__(self, client: Any, *, asked_for: bool) -> None:
        self._client = client
        self._asked_for = asked_for
        self._posts: dict[str, list[NewMessage]] = {}
        #: Of posts that failed: nobody knows how far.
        self._tickets: dict[str, IdempotencyKey] = {}
        self._poster = unconfirmed.Poster()
        self._size = self._bytes = 0

    def takes(self, link: PoolConnection) -> bool:
        """Tell whether what is published over this connection is gathered."""
        return link.client is self._client and (self._asked_for or link.options.batch_groups)

    def add(self, channel: PublishingMethods, message: Any, exchange: str, routing_key: str) -> None:
        """Add a message.

        When there are enough, those before it are posted first: if that fails, this one was not taken, and whoever
        publishes it may do so again.
        """
        if self._size >= self.MOST or self._bytes >= self.MOST_BYTES:
            self.flush(channel)
        if type(message) is dict:
            message = dict(message)
        new, queues = channel.routed(message, exchange, routing_key)
        for queue in queues:
            self._posts.setdefault(queue, []).append(new)
        self._size += 1
        self._bytes += len(new["body"]["body"] or "")

    def flush(self, channel: PublishingMethods) -> None:
        """Post what waits. What could not be posted for want of a connection waits on, and can be flushed again.

        Then what had arrived all the same is not stored twice.
        """
        for queue in list(self._posts):
            idempotency_key = self._tickets.get(queue) or self._poster.idempotency_key()
            try:
                channel.post(queue, self._posts[queue], idempotency_key=idempotency_key, apart=True)
            except StoreConnectionError:
                self._tickets[queue] = idempotency_key
                raise
            except Exception:
                self._forget(queue)
                raise
            self._forget(queue)
        self._size = self._bytes = 0

    def _forget(self, queue: str) -> None:
        del self._posts[queue]
        self._tickets.pop(queue, None)


@contextmanager
def gather(
    producer: Any, retry_policy: Mapping[str, Any] | None = None, *, asked_for: bool = True
) -> Iterator[Gathering | None]:
    """Post what ``producer`` publishes within this context in few posts, the last of them before the context ends.

    What is published by the same thread over the producer's connection counts; with a broker of another kind all is
    as without. If the block fails, what was published before that is posted nevertheless. ``retry_policy`` is
    Celery's ``task_publish_retry_policy`` for the last post; without one, it is tried once.

    Raises:
        OperationalError: a store did not answer; some of the messages may be stored.
        MessageNacked: a queue is full and refuses more; those before are stored.
    """
    client = producer.connection
    if not _is_pool(client):
        yield None
        return
    gathering = Gathering(client, asked_for=asked_for)
    token = current.set(gathering)
    try:
        yield gathering
    except BaseException as error:
        current.reset(token)
        _rescue(producer, gathering, error)
        raise
    current.reset(token)
    # Kombu connects again, and raises its own error in the end.
    client.ensure(producer, lambda: gathering.flush(producer.channel), **(retry_policy or {"max_retries": 0}))()


def _is_pool(client: Any) -> bool:
    """Tell whether a Kombu connection leads to us, also after a failover."""
    return client.transport.driver_type == "pool" and all(map(is_ours, client.alt))


def _rescue(producer: Any, gathering: Gathering, error: BaseException) -> None:
    """Post what was published before something else failed; a store that just did not answer is not asked again."""
    if isinstance(error, OperationalError | StoreConnectionError):
        return
    try:
        gathering.flush(producer.channel)
    except Exception:
        logger.warning("What was published before %r could not be posted", error, exc_info=True)
