"""Publishes many messages together: what ``Producer.batch`` fills and flushes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu import exceptions

from kombu_pool.errors import KombuPoolError
from kombu_pool.transport.publish import envelope as envelopes

if TYPE_CHECKING:
    from kombu_pool.model import NewMessage
    from kombu_pool.transport.publish.posting import PostingMethods

#: Kombu has the class, and batches, from 5.7 on.
BatchPublishError: type[Exception] = getattr(exceptions, "BatchPublishError", exceptions.OperationalError)


class PublishBatch:
    """The messages of one batch, by queue; a flush posts once to each queue."""

    def __init__(self, channel: PostingMethods, max_size: int) -> None:
        self.channel = channel
        self._max_size = max_size
        self._posts: dict[str, list[NewMessage]] = {}
        self._size = 0
        self._closed = False

    def publish(self, message: Any, exchange: str = "", routing_key: str = "", **options: Any) -> None:
        """Add a message; a full batch flushes itself."""
        if self._closed:
            raise RuntimeError("The batch is closed: open another one with Producer.batch()")
        if type(message) is dict:
            # The caller may publish the same dictionary elsewhere before this one is posted.
            message = dict(message)
        new, queues = self.channel.routed(message, exchange, routing_key, **options)
        envelopes.add_record(new)
        for queue in queues:
            self._posts.setdefault(queue, []).append(new)
        self._size += 1
        if self._size >= self._max_size:
            self.flush()

    def flush(self) -> None:
        """Post the messages added since the last flush.

        Raises:
            BatchPublishError: a store did not answer; some of the messages may be stored, and none is sent again.
        """
        posts, self._posts, self._size = self._posts, {}, 0
        for queue, messages in posts.items():
            try:
                self.channel.post(queue, messages)
            except KombuPoolError as error:
                raise BatchPublishError(
                    f"{len(messages)} messages to queue {queue!r} and all after them may not be stored: {error}"
                ) from error

    def discard(self) -> None:
        """Drop the messages added since the last flush."""
        self._posts, self._size = {}, 0

    def close(self) -> None:
        """Drop the messages added since the last flush, and refuse further ones."""
        self.discard()
        self._closed = True
