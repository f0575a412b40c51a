"""Whose turn it is on a queue with ``x-single-active-consumer``: one consumer gets all messages, the others wait.

Who is active owns an exclusive queue beside it, and so loses its turn as any owner does: when it cancels, when its
connection ends, or when its process dies.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from amqp.exceptions import ResourceLocked

from kombu_pool.errors import KombuPoolError
from kombu_pool.transport.declare import exclusive_owners
from kombu_pool.transport.declare.queue_arguments import FLAVOR_ARGUMENT, SINGLE_ACTIVE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.transport.declare.queues import Queues

#: What the name of the queue that stands for the turn begins with.
PREFIX = "kombu_pool.turn/"


class Turn:
    """The turn of one subscription."""

    #: Seconds between two questions whether it is ours, or still ours.
    PERIOD = 1.0

    def __init__(self, queues: Queues, queue: str, arguments: Mapping[str, Any], ttl: float) -> None:
        self._queues = queues
        self._name = PREFIX + queue
        self._arguments = {name: arguments[name] for name in (FLAVOR_ARGUMENT,) if name in arguments}
        self._ttl = ttl
        self._owner = exclusive_owners.new()
        self._ours = False
        self._asked_at = self._known_at = float("-inf")

    def is_ours(self) -> bool:
        """Tell whether the subscription may claim; take the turn if nobody has it."""
        now = time.monotonic()
        if now >= self._asked_at + self.PERIOD:
            self._asked_at = now
            try:
                self._ours, self._known_at = self._take(), now
            except KombuPoolError:
                # Who cannot ask keeps it for as long as nobody else can get it.
                self._ours = self._ours and now < self._known_at + self._ttl
        return self._ours

    def _take(self) -> bool:
        try:
            self._queues.declare(
                self._name, self._owner, durable=False, exclusive=True, auto_delete=False, arguments=self._arguments
            )
        except ResourceLocked:
            return False
        return True

    def give_up(self, *, quietly: bool = False) -> None:
        """Let somebody else have it; ``quietly``: without a word to the store, where nobody may answer."""
        exclusive_owners.end(self._owner)
        if self._ours and not quietly:
            self._queues.retire_owner(self._owner)
            self._queues.delete(self._name)
        elif self._ours:
            self._queues.stop_renewing(self._owner)
        self._ours, self._asked_at = False, float("inf")


def turn_of(queues: Queues, queue: str, declared: Mapping[str, Any], ttl: float) -> Turn | None:
    """Return the turn of a new subscription to a queue, if it takes one."""
    arguments = declared.get("arguments") or {}
    return Turn(queues, queue, arguments, ttl) if arguments.get(SINGLE_ACTIVE) is True else None
