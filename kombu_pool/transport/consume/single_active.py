"""Single active consumer: of a queue with ``x-single-active-consumer``, one consumer gets all messages.

The active consumer owns an exclusive queue beside it. It loses that queue, and its place, as any owner does: when it
cancels, when its connection ends, or when its process dies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqp.exceptions import ResourceLocked

from kombu_pool.clock import SYSTEM_CLOCK
from kombu_pool.errors import KombuPoolError
from kombu_pool.transport import processes
from kombu_pool.transport.declare.queue_arguments import FLAVOR_ARGUMENT, SINGLE_ACTIVE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.transport.declare.queues import Queues

#: The prefix of the exclusive queue whose owner is active.
PREFIX = "kombu_pool.single_active/"


class SingleActiveConsumer:
    """The candidacy of one channel's consumers of a queue."""

    #: Period of the question whether these consumers are active, in seconds.
    POLL_INTERVAL = 1.0

    def __init__(self, queues: Queues, queue: str, arguments: Mapping[str, Any], ttl: float) -> None:
        self._queues = queues
        self._name = PREFIX + queue
        self._arguments = {name: arguments[name] for name in (FLAVOR_ARGUMENT,) if name in arguments}
        self._ttl = ttl
        self._owner = processes.new_owner_id()
        #: Whether these consumers may claim.
        self.active = False
        self._asked_at = self._confirmed_at = float("-inf")

    def poll(self) -> None:
        """Become active if no other consumers are, and ask now and then whether these still are."""
        now = SYSTEM_CLOCK.elapsed()
        if now >= self._asked_at + self.POLL_INTERVAL:
            self._asked_at = now
            try:
                self.active, self._confirmed_at = self._acquire(), now
            except KombuPoolError:
                # While the store is unreachable, no other consumers can become active before the ttl ends.
                self.active = self.active and now < self._confirmed_at + self._ttl

    def _acquire(self) -> bool:
        try:
            self._queues.declare(
                self._name, self._owner, durable=False, exclusive=True, auto_delete=False, arguments=self._arguments
            )
        except ResourceLocked:
            return False
        return True

    def resign(self, *, locally: bool = False) -> None:
        """Stop being active; ``locally``: without a request to the store, which may not answer."""
        processes.retire(self._owner)
        if self.active and not locally:
            self._queues.retire_owner(self._owner)
            self._queues.delete(self._name)
        elif self.active:
            self._queues.stop_renewing(self._owner)
        self.active, self._asked_at = False, float("inf")


def single_active_of(
    queues: Queues, queue: str, declared: Mapping[str, Any], ttl: float
) -> SingleActiveConsumer | None:
    """Return the candidacy for a queue that was declared so; None without ``x-single-active-consumer``."""
    arguments = declared.get("arguments") or {}
    return SingleActiveConsumer(queues, queue, arguments, ttl) if arguments.get(SINGLE_ACTIVE) is True else None
