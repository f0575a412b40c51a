"""Keeps dead messages from all others while somebody buries them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kombu_pool.drivers.mongodb import layout, states
from kombu_pool.storage.dead_letters import RESERVATION_TTL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Queue, Store

_UNPARKED: Final = {"$set": {"r": 0.0}}


class Parking:
    """Whoever has the first of a queue's dead has the queue: so they are buried in order, by one at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._mark = layout.new_claim()

    def park(self, queue: Queue, messages: Sequence[bytes]) -> list[bytes]:
        """Keep messages from others, for a while; return those that nobody else has: none, if he has the first."""
        now, update = self._store.now(), self._store.messages.update_many
        free, parked = {**queue.scope, **states.dead(now)}, {"$set": {"r": now + RESERVATION_TTL, "c": self._mark}}
        if not update({**free, "_id": messages[0]}, parked).modified_count:
            return []
        others = messages[1:]
        if not others or update({**free, "_id": {"$in": others}}, parked).modified_count == len(others):
            return list(messages)
        kept = {found["_id"] for found in self._store.messages.find(self.ours(queue, messages), {"_id": 1})}
        return [message for message in messages if message in kept]

    def ours(self, queue: Queue, messages: Sequence[bytes]) -> Filter:
        """Return the filter of those of the messages that are parked here still."""
        return {**queue.scope, "_id": {"$in": messages}, "s": layout.DEAD, "c": self._mark}

    def unpark(self, queue: Queue, messages: Sequence[bytes]) -> None:
        """Leave messages to others."""
        self._store.messages.update_many(self.ours(queue, messages), _UNPARKED)
