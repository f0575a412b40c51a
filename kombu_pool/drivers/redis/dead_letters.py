"""Delivers dead letters: to a queue of this store, or through those who know the other stores and the exchanges."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kombu_pool.drivers.redis.codec import NO_TICKET
from kombu_pool.drivers.redis.dead_letter_records import letter, source
from kombu_pool.drivers.redis.deletion import ACK
from kombu_pool.drivers.redis.queues import QueueController
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import KombuPoolError
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import DeadLetterOutcome, forward

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kombu_pool.drivers.redis.dead_letter_records import Aside, Letter, Source
    from kombu_pool.drivers.redis.posting import Poster
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import Project
    from kombu_pool.storage import DeadLetterHooks

logger = logging.getLogger(__name__)

_BURY = script("move_dead")
_FORGET = script("remove_dead", repeatable=True, writes=False)
_RELEASE = script("release", writes=False)
#: Letters that one run of a script moves at the most, and their bytes: Redis serves nobody else meanwhile.
_AT_ONCE, _BYTES_AT_ONCE = 200, 8 * 1024 * 1024


class DeadLetters:
    """Stores letters there before it removes them here."""

    def __init__(self, store: Store, poster: Poster, hooks: DeadLetterHooks) -> None:
        self._store = store
        self._poster = poster
        self._hooks = hooks
        self._queues = QueueController(store)

    def put_aside(
        self, queue: str, project: Project, claim: bytes, messages: Sequence[Aside], now: float
    ) -> list[bytes]:
        """Dead-letter messages that the claim holds; return those that nobody takes, which are free again.

        What cannot be read is taken in any case: by :data:`UNREADABLE_QUEUE` in the end.
        """
        keys = self._store.keys(project, queue)
        metadata = self._store.link.command("HGET", keys.queue, "metadata")
        if metadata is None:
            return []
        unwanted = []
        of = source(self._store, queue, project, metadata, claim, now)
        for one, delivery in self.deliver(of, [letter(of, aside) for aside in messages]):
            if delivery is DeadLetterOutcome.STORED:
                continue
            if one.is_unreadable:
                self.keep_unreadable(of, one)
            else:
                self._store.run(_RELEASE, keys, claim, one.message, 0)
                unwanted.append(one.message)
        return unwanted

    def deliver(self, of: Source, letters: Iterable[Letter]) -> Iterator[tuple[Letter, DeadLetterOutcome]]:
        """Deliver letters in order, and say of each what became of it; one that is stored is here no more."""
        for target, group in _portions(letters):
            delivery = DeadLetterOutcome.UNROUTABLE if target is None else self._move(of, target, group)
            if delivery is not DeadLetterOutcome.UNROUTABLE:
                yield from ((one, delivery) for one in group)
                continue
            for one in group:
                delivery = forward(self._hooks, of.project, target, of.policy, one.handed_over())
                if delivery is DeadLetterOutcome.STORED:
                    self.forget(of, [one])
                yield one, delivery

    def keep_unreadable(self, of: Source, one: Letter) -> None:
        """Move a letter that nobody takes to a queue of this store that takes them all."""
        self._queues.create(UNREADABLE_QUEUE, {}, of.project)
        self._move(of, UNREADABLE_QUEUE, [one])

    def forget(self, of: Source, letters: Sequence[Letter]) -> None:
        """Remove what is stored elsewhere, or nowhere to be stored."""
        gone = b"".join(one.message for one in letters)
        if of.claim:
            self._store.link.call(ACK, of.keys.acking, self._store.now(), of.claim, gone)
        else:
            self._store.link.call(_FORGET, of.keys.dead_lettering, self._store.now(), gone, b"", 0)

    def put_off(self, of: Source, letters: Sequence[Letter], seconds: float) -> None:
        """Let dead letters wait that are out of reach: they are tried again by whoever uses the queue after a time."""
        waiting = b"".join(one.message for one in letters)
        self._store.link.call(_FORGET, of.keys.dead_lettering, self._store.now(), b"", waiting, seconds)

    def _move(self, of: Source, target: str, letters: Sequence[Letter]) -> DeadLetterOutcome:
        """Move letters to a queue of this store; nowhere is that if it is not here."""
        if self._store.link.is_cluster:
            return self._move_apart(of, target, letters)
        keys = self._store.keys(of.project, target)
        both = (*of.keys.dead_lettering, keys.queue, keys.records, keys.free, keys.expiring, keys.wakeup)
        told = [part for one in letters for part in one.moved()]
        answer = self._store.run_mourning(_BURY, both, of.claim, *told)
        if answer is None:
            return DeadLetterOutcome.UNROUTABLE
        if answer[1]:
            self._poster.make_room(target, of.project)
        return DeadLetterOutcome.STORED

    def _move_apart(self, of: Source, target: str, letters: Sequence[Letter]) -> DeadLetterOutcome:
        """Post letters and then remove them: no script may use the keys of two queues of a cluster."""
        told = [*NO_TICKET, *(part for one in letters for part in one.posted())]
        try:
            ids, _ = self._poster.post(target, of.project, told)
        except KombuPoolError as error:
            # Another node's want of memory, or a queue that is full, must not keep these messages from being lent.
            logger.warning("Messages could not be dead-lettered, and stay where they are: %s", error)
            return DeadLetterOutcome.UNREACHABLE
        if ids is None:
            return DeadLetterOutcome.UNROUTABLE
        self.forget(of, letters)
        return DeadLetterOutcome.STORED


def _portions(letters: Iterable[Letter]) -> Iterator[tuple[str | None, list[Letter]]]:
    """Give letters in order, those together that go to one queue and are no burden."""
    group: list[Letter] = []
    size = 0
    for one in letters:
        size += len(one.record)
        if group and (one.target != group[0].target or len(group) == _AT_ONCE or size > _BYTES_AT_ONCE):
            yield group[0].target, group
            group, size = [], len(one.record)
        group.append(one)
    if group:
        yield group[0].target, group
