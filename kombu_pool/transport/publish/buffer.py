"""Buffers consecutive publishes of a thread, so that one post to each queue carries many messages."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from kombu.exceptions import OperationalError

from kombu_pool import codec
from kombu_pool.errors import ConnectionError as StoreConnectionError
from kombu_pool.storage.idempotency import ProducerSequence
from kombu_pool.transport.options import is_ours
from kombu_pool.transport.publish.unconfirmed import Backoff

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.model import IdempotencyKey, NewMessage
    from kombu_pool.transport.publish.posting import PostingMethods

logger = logging.getLogger(__name__)

#: The buffer of the current context; each thread and each greenlet has its own.
current: ContextVar[PublishBuffer | None] = ContextVar("buffer", default=None)


class PublishBuffer:
    """The messages that were published over one Kombu connection and are not posted yet.

    It belongs to the connection, not to a channel: a channel does not survive a reconnect.
    """

    #: The most messages, and bytes of their bodies, that a buffer holds: bounds the wait of a consumer for the first.
    MAX_MESSAGES, MAX_BYTES = 500, 1 << 22

    def __init__(self, client: Any, *, explicit: bool) -> None:
        self._client = client
        self._explicit = explicit
        self._posts: dict[str, list[NewMessage]] = {}
        #: The keys of posts that failed and may be stored, by queue.
        self._keys: dict[str, IdempotencyKey] = {}
        self._backoff: Backoff | None = None
        self._sequence = ProducerSequence()
        self._size = self._bytes = 0

    def accepts(self, client: Any, batch_groups: bool) -> bool:
        """Return whether it buffers what is published over this Kombu connection."""
        return client is self._client and (self._explicit or batch_groups)

    def add(self, channel: PostingMethods, message: Any, exchange: str, routing_key: str) -> None:
        """Add a message.

        A full buffer is flushed first. If that fails, the message was not added, and may be published again.

        Raises:
            InvalidMessage: the message cannot be stored.
        """
        if self._size >= self.MAX_MESSAGES or self._bytes >= self.MAX_BYTES:
            self.flush(channel)
        if type(message) is dict:
            message = dict(message)
        new, queues = channel.routed(message, exchange, routing_key)
        codec.check(new["body"])
        for queue in queues:
            self._posts.setdefault(queue, []).append(new)
        self._size += 1
        self._bytes += len(new["body"]["body"] or "")

    def flush(self, channel: PostingMethods) -> None:
        """Post everything. Messages whose post got no answer stay, and the next flush stores them once."""
        if self._backoff is not None:
            self._backoff.pause()
        for queue in list(self._posts):
            key = self._keys.get(queue) or self._sequence.next_key()
            try:
                channel.post(queue, self._posts[queue], idempotency_key=key, one_by_one=True)
            except StoreConnectionError:
                self._keys[queue] = key
                self._failed()
                raise
            except Exception:
                self._drop(queue)
                raise
            self._drop(queue)
        self._size = self._bytes = 0
        self._backoff = None

    def _failed(self) -> None:
        if self._backoff is None:
            self._backoff = Backoff()
        else:
            self._backoff.failed()

    def _drop(self, queue: str) -> None:
        del self._posts[queue]
        self._keys.pop(queue, None)


@contextmanager
def gather(
    producer: Any, retry_policy: Mapping[str, Any] | None = None, *, explicit: bool = True
) -> Iterator[PublishBuffer | None]:
    """Buffer what ``producer`` publishes within this context; everything is posted before the context ends.

    It concerns publishes of the same thread over the producer's connection, and has no effect on a broker of another
    kind. If the block raises, what was published before is posted nevertheless. ``retry_policy`` (Celery's
    ``task_publish_retry_policy``) is for the last post; without it there is one try.

    Raises:
        OperationalError: a store did not answer; some of the messages may be stored.
        MessageNacked: a queue is full and refuses more; the messages before are stored.
    """
    client = producer.connection
    if not _is_pool(client):
        yield None
        return
    buffer = PublishBuffer(client, explicit=explicit)
    token = current.set(buffer)
    try:
        yield buffer
    except BaseException as error:
        current.reset(token)
        _flush_after(error, producer, buffer)
        raise
    current.reset(token)
    # Kombu reconnects, and raises its own error in the end.
    client.ensure(producer, lambda: buffer.flush(producer.channel), **(retry_policy or {"max_retries": 0}))()


def _is_pool(client: Any) -> bool:
    """Return whether a Kombu connection leads to a pool, also after a failover."""
    return client.transport.driver_type == "pool" and all(map(is_ours, client.alt))


def _flush_after(error: BaseException, producer: Any, buffer: PublishBuffer) -> None:
    """Post what was published before the block raised, unless a store just failed to answer."""
    if isinstance(error, OperationalError | StoreConnectionError):
        return
    try:
        buffer.flush(producer.channel)
    except Exception:
        logger.warning("The messages published before %r could not be posted", error, exc_info=True)
