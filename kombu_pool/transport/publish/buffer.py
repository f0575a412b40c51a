"""Buffers consecutive publishes of a thread, so that one post to each queue carries many messages."""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import closing, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from amqp.exceptions import MessageNacked

from kombu_pool.errors import InvalidMessage, PoolUnavailable, StoreFull
from kombu_pool.transport.amqp_errors import RETRIED
from kombu_pool.transport.options import is_ours
from kombu_pool.transport.publish import envelope as envelopes
from kombu_pool.transport.publish.flush_timer import FlushTimer
from kombu_pool.transport.publish.queue_buffer import QueueBuffer
from kombu_pool.transport.publish.unconfirmed import Backoff

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.transport.publish.posting import PostingMethods

logger = logging.getLogger(__name__)

#: The buffer of the current context; each thread and each greenlet has its own.
current: ContextVar[PublishBuffer | None] = ContextVar("buffer", default=None)


class PublishBuffer:
    """The messages that were published over one Kombu connection and are not posted yet.

    It belongs to the connection, not to a channel: a channel does not survive a reconnect. An ``explicit`` buffer holds
    its messages until its context ends; another one holds none longer than MAX_AGE, by a :class:`FlushTimer`.
    """

    #: The most messages, and bytes of their bodies, that a buffer holds: bounds the size of a post.
    MAX_MESSAGES, MAX_BYTES = 500, 1 << 22
    #: How long a buffer that is not explicit holds a message, in seconds; a message that comes later than this after
    #: the last post is not held.
    MAX_AGE = 0.01

    def __init__(self, client: Any, *, explicit: bool) -> None:
        self._client = client
        self._explicit = explicit
        self._queues: dict[str, QueueBuffer] = {}
        self._size = self._bytes = 0
        self._backoff: Backoff | None = None
        #: Whether the last flush failed, and Kombu may retry it.
        self.is_failing = False
        #: The error of the timer's flush, until it is raised.
        self._late_failure: Exception | None = None
        self._posted_at = float("-inf")
        #: Monotonic time at which the timer flushes; None if nothing is held, or the last flush of the timer failed.
        self._flush_at: float | None = None
        self._timer: FlushTimer | None = None
        self._channel: PostingMethods | None = None
        self._lock = threading.Lock()
        #: Whether its thread is in a method that locks; what a signal handler publishes then is not buffered.
        self._is_entered = False
        self._pid, self._thread = os.getpid(), threading.get_ident()
        self._is_closed = False

    def accepts(self, client: Any, batch_groups: bool) -> bool:
        """Return whether it buffers what is published over this Kombu connection.

        It does so until it is closed, for the process and the thread that opened it: a context may be copied.
        """
        return (
            client is self._client
            and (self._explicit or batch_groups)
            and not (self._is_closed or self._is_entered)
            and (self._pid, self._thread) == (os.getpid(), threading.get_ident())
        )

    def holds_next(self) -> bool:
        """Return whether the next message is held; one that comes a while after the last post is published at once."""
        return self._explicit or (
            (bool(self._queues) or time.monotonic() - self._posted_at < self.MAX_AGE) and self._has_timer()
        )

    def _has_timer(self) -> bool:
        if self._timer is None:
            try:
                self._timer = FlushTimer.acquire(self.flush_late)
            except RuntimeError:
                logger.debug("A group is not buffered: no thread can be started")
        return self._timer is not None

    def posted(self) -> None:
        """Take note of a message that was published at once."""
        self._posted_at = time.monotonic()

    def add(self, channel: PostingMethods, message: Any, exchange: str, routing_key: str) -> None:
        """Add a message.

        A full buffer, or one that has held its messages long enough, is flushed first. If that fails, the message was
        not added, and may be published again.

        Raises:
            InvalidMessage: the message cannot be stored.
        """
        self._is_entered = True
        try:
            with self._lock:
                self._add(channel, message, exchange, routing_key)
        finally:
            self._is_entered = False

    def _add(self, channel: PostingMethods, message: Any, exchange: str, routing_key: str) -> None:
        self._raise_late_failure()
        if self._must_flush():
            self._flush(channel)
        if type(message) is dict:
            message = dict(message)
        new, queues = channel.routed(message, exchange, routing_key)
        envelopes.add_record(new)
        for queue in queues:
            held = self._queues.get(queue)
            if held is None:
                held = self._queues[queue] = QueueBuffer(queue)
            held.messages.append(new)
        self._size += 1
        self._bytes += len(new["body"]["body"] or "")
        # A reconnect closes the channel of earlier messages.
        self._channel = channel
        if self._timer is not None and self._flush_at is None:
            self._flush_at = time.monotonic() + self.MAX_AGE
            self._timer.start()

    def _must_flush(self) -> bool:
        is_full = self._size >= self.MAX_MESSAGES or self._bytes >= self.MAX_BYTES
        is_late = self._flush_at is not None and time.monotonic() >= self._flush_at
        return is_full or is_late or self._backoff is not None

    def flush(self, channel: PostingMethods) -> None:
        """Post everything. Messages whose post failed stay, and the next flush stores them once.

        Raises the failure of the timer's flush first, if there was one. A message that a store refuses is dropped.
        """
        if self._pid != os.getpid():
            return
        self._is_entered = True
        try:
            with self._lock:
                self._raise_late_failure()
                self._flush(channel)
        finally:
            self._is_entered = False

    def flush_late(self) -> float | None:
        """Flush if it is time, and return the seconds until then; None if nothing is held.

        A failure is raised by the next :meth:`add` or :meth:`flush`.
        """
        if self._flush_at is None:
            return None
        with self._lock:
            if self._flush_at is None or self._channel is None:
                return None
            if (left := self._flush_at - time.monotonic()) > 0:
                return left
            try:
                self._channel.require_open()
                self._flush(self._channel)
            except Exception as error:  # noqa: BLE001 - raised by the thread that publishes
                self._late_failure, self._flush_at = error, None
                # The thread that publishes has not tried yet.
                self.is_failing = False
            return None

    def close(self) -> None:
        """Accept no more messages, and give the timer back."""
        self._is_closed = True
        timer, self._timer = self._timer, None
        if timer is not None and self._pid == os.getpid():
            timer.release()

    def _raise_late_failure(self) -> None:
        failure, self._late_failure = self._late_failure, None
        if failure is not None:
            raise failure

    def _flush(self, channel: PostingMethods) -> None:
        self._flush_at, self.is_failing = None, False
        if self._backoff is not None:
            self._backoff.pause()
        try:
            self._post_each(channel)
        except RETRIED:
            self._failed()
            raise
        self._size = self._bytes = 0
        self._backoff = None
        self._posted_at = time.monotonic()

    def _post_each(self, channel: PostingMethods) -> None:
        """Post the messages of each queue; one pool that is down, or one queue that is full, stops no other one."""
        failure: Exception | None = None
        refusal: Exception | None = None
        down: set[str] = set()
        for queue, held in list(self._queues.items()):
            if down and channel.place_of(queue) in down:
                continue
            try:
                held.post(channel)
            except PoolUnavailable as error:
                down.add(error.place)
                failure = failure or error
            except StoreFull as error:
                failure = failure or error
            except (MessageNacked, InvalidMessage) as error:
                refusal = refusal or error
            if not held.messages:
                del self._queues[queue]
        # A refusal is never repeated by Kombu, so it would be lost behind another failure.
        if (first := refusal or failure) is not None:
            raise first

    def _failed(self) -> None:
        self.is_failing = True
        if self._backoff is None:
            self._backoff = Backoff()
        else:
            self._backoff.failed()


@contextmanager
def gather(
    producer: Any, retry_policy: Mapping[str, Any] | None = None, *, explicit: bool = True
) -> Iterator[PublishBuffer | None]:
    """Buffer what ``producer`` publishes within this context; everything is posted before the context ends.

    It concerns publishes of the same thread over the producer's connection, and has no effect on a broker of another
    kind. If the block raises, what was published before is posted nevertheless. ``retry_policy`` (Celery's
    ``task_publish_retry_policy``) is for the last post; without it there is one try. Without ``explicit`` messages are
    held for some milliseconds only, see :class:`PublishBuffer`.

    Raises:
        OperationalError: a store did not answer; some of the messages may be stored.
        MessageNacked: a queue is full and refuses more; the messages before are stored.
    """
    client = producer.connection
    if not _is_pool(client):
        yield None
        return
    with closing(PublishBuffer(client, explicit=explicit)) as buffer:
        # Kombu reconnects, and raises its own error in the end.
        flush = client.ensure(producer, lambda: buffer.flush(producer.channel), **(retry_policy or {"max_retries": 0}))
        token = current.set(buffer)
        try:
            try:
                yield buffer
            finally:
                current.reset(token)
            flush()
        except BaseException as error:
            # The failure of a timer is raised before another try; after a refusal others may be left.
            if not buffer.is_failing:
                _flush_after(error, flush)
            raise


def _is_pool(client: Any) -> bool:
    """Return whether a Kombu connection leads to a pool, also after a failover."""
    return client.transport.driver_type == "pool" and all(map(is_ours, client.alt))


def _flush_after(error: BaseException, flush: Any) -> None:
    """Post what was published before an error."""
    try:
        flush()
    except Exception:
        logger.warning("The messages published before %r could not be posted", error, exc_info=True)
