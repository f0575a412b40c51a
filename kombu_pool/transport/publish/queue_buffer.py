"""Holds the messages for one queue until they are posted, and remembers the post that got no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqp.exceptions import MessageNacked

from kombu_pool.errors import InvalidMessage, QueueIsFull
from kombu_pool.storage.idempotency import ProducerSequence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.model import NewMessage
    from kombu_pool.transport.publish.posting import PostingMethods


class QueueBuffer:
    """The messages for one queue, in their order.

    It has a sequence of its own: a store remembers only the last post of a producer, and posts to several queues may be
    unanswered at the same time.
    """

    __slots__ = ("_last_post", "_sequence", "messages", "queue")

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.messages: list[NewMessage] = []
        self._sequence = ProducerSequence()
        #: The messages of the last post; while it is unanswered, they are the first of the messages.
        self._last_post: Sequence[NewMessage] = ()

    def post(self, channel: PostingMethods) -> None:
        """Post all messages together, or one by one if some are refused.

        After a failure the messages that may not be stored are still held, and the next call stores them once.

        Raises:
            MessageNacked: the queue is full; the refused message is held no more, those behind it are.
            InvalidMessage: the same for a message that cannot be stored.
        """
        size = len(self.messages)
        while self.messages:
            try:
                self._post_first(channel, size)
            except (QueueIsFull, InvalidMessage, MessageNacked):
                was_alone, self._last_post, size = len(self._last_post) == 1, (), 1
                if was_alone:
                    del self.messages[0]
                    raise

    def _post_first(self, channel: PostingMethods, size: int) -> None:
        """Post the first messages; after a failure the same ones with the same key.

        A signal handler may raise between any two steps: each keeps the messages, and the key of the post.
        """
        if self._last_post and self._last_post[0] is self.messages[0]:
            key = self._sequence.last_key()
        else:
            key = self._sequence.next_key()
            self._last_post = self.messages[:size]
        channel.post(self.queue, self._last_post, idempotency_key=key, in_pieces=True)
        del self.messages[: len(self._last_post)]
