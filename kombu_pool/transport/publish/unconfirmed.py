"""Recognizes a message that is published again after a publish without an answer, so that it is stored once.

The second try carries the idempotency keys of the first. Kombu's ``Producer.publish(retry=True)`` passes the very same
dictionary of properties again, to another channel of another connection. Celery's own retry, from within a task, makes
new properties except for the headers, and the correlation id is the task's. Nothing else counts as the same message,
however alike it looks: publishing an equal message on purpose stores two.
"""

from __future__ import annotations

import os
import random
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from kombu_pool.storage import IDEMPOTENCY_WINDOW
from kombu_pool.storage.idempotency import ProducerSequence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.model import IdempotencyKey
    from kombu_pool.transport.options import TransportOptions
    from kombu_pool.transport.publish.envelope import Envelope

#: The most unconfirmed publishes that a process remembers.
MAX_REMEMBERED = 1000
#: How long they are remembered, in seconds: less than by the stores, whose window began before the publish failed.
WINDOW = IDEMPOTENCY_WINDOW * 0.9

_idle: deque[ProducerSequence] = deque()

#: Return a sequence to be used by other publishes.
release_sequence = _idle.append


def acquire_sequence() -> ProducerSequence:
    """Return a sequence for one publish; :func:`release_sequence` follows, unless the publish is unconfirmed."""
    try:
        return _idle.pop()
    except IndexError:
        return ProducerSequence()


class Backoff:
    """The pauses between the tries of a post, of which Kombu makes none while the control store answers."""

    #: The first and the longest pause, in seconds: a try is made within one second of a pool's return.
    FIRST, LAST = 0.05, 0.5

    def __init__(self) -> None:
        self._seconds = self.FIRST
        self._failed_at = time.monotonic()

    def failed(self) -> None:
        """Make the next pause begin now, and be longer than the last one."""
        self._seconds = min(2 * self._seconds, self.LAST)
        self._failed_at = time.monotonic()

    def pause(self) -> None:
        """Wait until the next try, at most 1.25 * LAST seconds from the failure."""
        until = self._failed_at + self._seconds * random.uniform(0.75, 1.25)  # noqa: S311 - nothing secret
        time.sleep(max(0.0, until - time.monotonic()))


class UnconfirmedPublish:
    """A message, the queues that confirmed it, and the keys of the posts without an answer.

    The last post of ``sequence`` was the one to the queue ``unanswered``.
    """

    def __init__(
        self,
        message: Envelope,
        options: TransportOptions,
        sequence: ProducerSequence,
        stored: Iterable[str],
        unanswered: str,
    ) -> None:
        self.sequence = sequence
        self.backoff = Backoff()
        self.stored = set(stored)
        self._keys: dict[str, IdempotencyKey] = {unanswered: sequence.last_key()}
        self._since = time.monotonic()
        # Referenced, so that no other dictionary gets their addresses in memory.
        self._properties, self._headers = message["properties"], message["headers"]
        self._content = _content(message, options)

    def key_for(self, queue: str) -> IdempotencyKey:
        """Return the key for a post to a queue: the one of the first try, if there was one."""
        if queue not in self._keys:
            self._keys[queue] = self.sequence.next_key()
        return self._keys[queue]

    def is_of(self, message: Envelope, options: TransportOptions) -> bool:
        """Return whether this is the same message, published with the same options."""
        if self.is_over() or _content(message, options) != self._content:
            return False
        if message["properties"] is self._properties:
            return True
        correlation_id = self._properties.get("correlation_id")
        same = correlation_id is not None and message["properties"].get("correlation_id") == correlation_id
        return same and message["headers"] is self._headers

    def is_over(self) -> bool:
        """Return whether the stores may have forgotten the post."""
        return time.monotonic() - self._since >= WINDOW

    def remember(self) -> None:
        """Make :func:`find` recognize the message."""
        for address, other in list(remembered.items()):
            if len(remembered) > len(self._addresses) * (MAX_REMEMBERED - 1) or other.is_over():
                remembered.pop(address, None)
        for address in self._addresses:
            remembered[address] = self

    def forget(self) -> None:
        """Make :func:`find` recognize the message no more."""
        for address in self._addresses:
            remembered.pop(address, None)

    @property
    def _addresses(self) -> tuple[int, int]:
        return id(self._properties), id(self._headers)


#: By the addresses in memory of a message's properties and headers, the oldest first.
remembered: dict[int, UnconfirmedPublish] = {}


def find(message: Any, options: TransportOptions) -> UnconfirmedPublish | None:
    """Return the unconfirmed publish of this very message; None for any other message."""
    if type(message) is not dict:
        return None
    for part in ("properties", "headers"):
        publish = remembered.get(id(message[part]))
        if publish is not None and publish.is_of(message, options):
            return publish
    return None


def _content(message: Envelope, options: TransportOptions) -> tuple[object, ...]:
    body = message["body"]
    text = (len(body), hash(body)) if isinstance(body, (bytes, str)) else id(body)
    return options, message["exchange"], message["routing-key"], text


def _after_fork() -> None:
    """Forget everything in a child process: the sequences and the unconfirmed publishes are its parent's."""
    _idle.clear()
    remembered.clear()


os.register_at_fork(after_in_child=_after_fork)
