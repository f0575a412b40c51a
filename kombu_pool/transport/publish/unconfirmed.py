"""Publishes that failed, nobody knows how far: what Kombu tries again goes out with the tickets that it had.

Kombu's ``Producer.publish(retry=True)`` hands the very same dictionary of properties over again, on another channel of
another connection. Celery's own retry, from within a task, makes new ones, but for the headers, and the correlation id
is the task's. Nothing else counts as the same message, however alike it looks: who publishes it again on purpose means
two.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from kombu_pool.model import IdempotencyKey
from kombu_pool.storage import IDEMPOTENCY_WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.transport.publish.envelope import Envelope

#: Messages that a process remembers at the most.
MOST = 1000
#: Seconds for which it does: less than the stores, for they began before the publish failed.
LIFE = IDEMPOTENCY_WINDOW * 0.9
_POSTER_BYTES = 12


class Poster:
    """Numbers the posts of one publish at a time; with one in doubt it makes no others, so that stores remember it."""

    __slots__ = ("_name", "last")

    def __init__(self) -> None:
        self._name = os.urandom(_POSTER_BYTES)
        #: The number of the last post.
        self.last = 0

    def idempotency_key(self) -> IdempotencyKey:
        """Return the ticket of another post."""
        self.last += 1
        return IdempotencyKey(self._name, self.last)

    def last_ticket(self) -> IdempotencyKey:
        """Return the ticket of the last one."""
        return IdempotencyKey(self._name, self.last)


_idle: deque[Poster] = deque()

#: Take a poster back for other publishes.
give_back = _idle.append


def poster() -> Poster:
    """Lend a poster: to be given back, unless one of its posts is in doubt."""
    try:
        return _idle.pop()
    except IndexError:
        return Poster()


class Doubt:
    """A message, the queues that have it, and the tickets of the posts of which that is not known."""

    def __init__(self, message: Envelope, where: object, poster: Poster) -> None:
        self.poster = poster
        self.stored: set[str] = set()
        self._tickets: dict[str, IdempotencyKey] = {}
        self._since = time.monotonic()
        # Held, so that nothing else comes to be at their places in memory.
        self._properties, self._headers = message["properties"], message["headers"]
        self._content = _content(message, where)

    def idempotency_key(self, queue: str) -> IdempotencyKey:
        """Return the ticket for a post to a queue: that which it had, if it was tried before."""
        if queue not in self._tickets:
            self._tickets[queue] = self.poster.idempotency_key()
        return self._tickets[queue]

    def note(self, stored: Iterable[str], queue: str, idempotency_key: IdempotencyKey) -> None:
        """Note that queues have the message, and that one of them may."""
        self.stored.update(stored)
        self._tickets[queue] = idempotency_key

    def is_of(self, message: Envelope, where: object) -> bool:
        """Tell whether this is the same message, on its way to the same store."""
        if self.is_over() or _content(message, where) != self._content:
            return False
        if message["properties"] is self._properties:
            return True
        name = self._properties.get("correlation_id")
        same = name is not None and message["properties"].get("correlation_id") == name
        return same and message["headers"] is self._headers

    def is_over(self) -> bool:
        """Tell whether the stores may have forgotten it."""
        return time.monotonic() - self._since >= LIFE

    def remember(self) -> None:
        """Let the message be known when it is published again."""
        for key, doubt in list(known.items()):
            if len(known) > len(self._keys) * (MOST - 1) or doubt.is_over():
                known.pop(key, None)
        for key in self._keys:
            known[key] = self

    def forget(self) -> None:
        """Let it be like any other."""
        for key in self._keys:
            known.pop(key, None)

    @property
    def _keys(self) -> tuple[int, int]:
        return id(self._properties), id(self._headers)


#: By the places in memory of a message's properties and headers, the oldest first.
known: dict[int, Doubt] = {}


def find(message: Any, where: object) -> Doubt | None:
    """Return what is known of a message that failed, if it is published again; None for any other."""
    if not known or type(message) is not dict:
        return None
    for part in ("properties", "headers"):
        doubt = known.get(id(message[part]))
        if doubt is not None and doubt.is_of(message, where):
            return doubt
    return None


def _content(message: Envelope, where: object) -> tuple[object, ...]:
    body = message["body"]
    text = (len(body), hash(body)) if isinstance(body, (bytes, str)) else id(body)
    return where, message["exchange"], message["routing-key"], text


def _forget_all() -> None:
    """Begin anew in a child: the posters are its parent's, and so is what is in doubt."""
    _idle.clear()
    known.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
