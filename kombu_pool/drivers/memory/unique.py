"""The ids that unique messages of a queue hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from kombu_pool.drivers.memory.states import NEVER
from kombu_pool.model import EXTEND, REPLACE, UNFINISHED, WAITING, PresentId, Uniqueness
from kombu_pool.storage.unique import UniquePost
from kombu_pool.storage.validation import effective_delay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.memory.states import Backlog, StoredMessage
    from kombu_pool.model import Metadata
    from kombu_pool.storage.validation import ValidMessage

    class StoredQueue(Protocol):
        """A queue with its messages and the ids that they hold."""

        backlog: Backlog
        metadata: Metadata
        unique_ids: UniqueIds


class Hold(NamedTuple):
    """A message that holds an id; until a time, if its scope is a number of seconds."""

    message: StoredMessage
    scope: str | float
    until: float

    def is_over(self, backlog: Backlog, now: float) -> bool:
        """Return whether the id is free."""
        if not isinstance(self.scope, str):
            return self.until <= now
        if self.message.id not in backlog.messages:
            return True
        return self.scope == WAITING and backlog.claim_of(self.message) is not None


class UniqueIds:
    """The ids that are held in a queue."""

    def __init__(self) -> None:
        self._holds: dict[str, Hold] = {}

    def evict(self, backlog: Backlog, now: float) -> int:
        """Remove what is over for ever; return the number."""
        over = [
            name
            for name, hold in self._holds.items()
            if hold.is_over(backlog, now) and hold.message.id not in backlog.messages
        ]
        for name in over:
            del self._holds[name]
        return len(over)

    def displaced(self, message: ValidMessage, backlog: Backlog, now: float) -> Hold | None:
        """Return what keeps a message from being stored; None if it is stored."""
        unique = message.unique
        hold = None if unique is None else self._holds.get(unique.id)
        if unique is None or hold is None or hold.is_over(backlog, now):
            return None
        waits = _waits(hold, backlog)
        if UniquePost.takes_over(message, hold.message.key, waits=waits):
            return None
        return None if unique.conflict == REPLACE and waits else hold

    def replaced(self, messages: Sequence[ValidMessage], backlog: Backlog, now: float) -> set[str]:
        """Return the messages that are removed when the given ones are stored."""
        holds = [self._holds.get(message.unique.id) for message in messages if message.unique is not None]
        return {hold.message.id for hold in holds if hold and not hold.is_over(backlog, now) and _waits(hold, backlog)}

    def enter(self, unique: Uniqueness | None, message: StoredMessage, backlog: Backlog, now: float) -> None:
        """Let a stored message hold its id; one that it replaces is removed."""
        if unique is None:
            return
        hold = self._holds.get(unique.id)
        if hold is not None and not hold.is_over(backlog, now) and _waits(hold, backlog):
            backlog.remove(hold.message)
        until = NEVER if isinstance(unique.scope, str) else now + unique.scope
        self._holds[unique.id] = Hold(message, unique.scope, until)

    def holder(self, unique_id: str, backlog: Backlog, now: float) -> PresentId | None:
        """Return the id of the message that holds an id; None: none does."""
        hold = self._holds.get(unique_id)
        if hold is None or hold.is_over(backlog, now):
            return None
        return PresentId.of(hold.message.id, hold.message.key)

    def held_by(self, message: StoredMessage) -> tuple[str, bool] | None:
        """Return the id that a message holds, for no number of seconds, and whether until it is claimed only."""
        for name, hold in self._holds.items():
            if hold.message is message and isinstance(hold.scope, str):
                return name, hold.scope == WAITING
        return None

    def adopt(self, unique: tuple[str, bool], message: StoredMessage, backlog: Backlog, now: float) -> None:
        """Let a message from another store hold its id, unless another one does."""
        name, is_waiting = unique
        if self.holder(name, backlog, now) is None:
            self._holds[name] = Hold(message, WAITING if is_waiting else UNFINISHED, NEVER)

    def count_timed(self, backlog: Backlog, now: float) -> int:
        """Count the ids that are held for a time yet."""
        return sum(not isinstance(hold.scope, str) and not hold.is_over(backlog, now) for hold in self._holds.values())

    def drop(self, message: ValidMessage, hold: Hold, backlog: Backlog, metadata: Metadata, now: float) -> PresentId:
        """Drop a message, which extends what the hold says if it should; return the id of the present one."""
        unique, delay = message.unique, effective_delay(message, metadata)
        if unique is not None and unique.conflict == EXTEND:
            if _waits(hold, backlog) and now + delay > max(hold.message.due, now):
                backlog.change(hold.message, now + delay, None, now)
            if not isinstance(unique.scope, str) and not isinstance(hold.scope, str):
                self._holds[unique.id] = hold._replace(until=max(hold.until, now + unique.scope))
        return PresentId.of(hold.message.id, hold.message.key)


def _waits(hold: Hold, backlog: Backlog) -> bool:
    return hold.message.id in backlog.messages and backlog.claim_of(hold.message) is None


def displacements(queue: StoredQueue, post: UniquePost, now: float) -> Sequence[Hold | None]:
    """Return what keeps each of the messages of a post from being stored; the others are those that are stored."""
    holds = [queue.unique_ids.displaced(message, queue.backlog, now) for message in post.messages]
    post.drop([None if hold is None else hold.message.id for hold in holds])
    return holds


def drop(queue: StoredQueue, post: UniquePost, holds: Sequence[Hold | None], now: float) -> None:
    """Drop the messages of a post that holds displace."""
    post.drop(
        [
            None if hold is None else queue.unique_ids.drop(message, hold, queue.backlog, queue.metadata, now)
            for message, hold in zip(post.messages, holds, strict=True)
        ]
    )
