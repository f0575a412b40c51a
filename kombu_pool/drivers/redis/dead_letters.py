"""Takes dead messages, and moves dead letters to a queue of this store or through the hooks to another one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.codec import NO_IDEMPOTENCY_KEY
from kombu_pool.drivers.redis.dead_letter_records import parse_dead, source_of, to_dead_letter
from kombu_pool.drivers.redis.deletion import ACK
from kombu_pool.drivers.redis.queues import QueueController
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import KombuPoolError
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterOutcome, forward

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kombu_pool.drivers.redis.dead_letter_records import Candidate, DeadLetter, Source
    from kombu_pool.drivers.redis.posting import MessageWriter
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import Project
    from kombu_pool.storage import DeadLetterHooks

logger = logging.getLogger(__name__)

_QUEUES_WITH_DEAD = script("queues_with_dead", repeatable=True, writes=False)
_PEEK_DEAD = script("take_dead", repeatable=True, writes=False)
_TAKE_DEAD = script("take_dead", writes=False)
_MOVE_DEAD = script("move_dead")
_REMOVE_DEAD = script("remove_dead", repeatable=True, writes=False)
_RELEASE = script("release", writes=False)
#: Dead messages that one run of a script takes or moves; Redis serves no other client meanwhile.
_BATCH = 200
#: Bytes of the bodies that one run moves.
_BATCH_BYTES = 8 * 1024 * 1024
#: Queues that are checked in one round trip.
_QUEUES_AT_ONCE = 200
#: Seconds after which the next use of a queue retries what was unreachable; ``dead_letter_all`` does so at once.
_RETRY_AFTER = 5.0


class DeadLetterMover:
    """Moves dead letters: each is stored at its target before it is removed here."""

    def __init__(self, store: Store, writer: MessageWriter, hooks: DeadLetterHooks) -> None:
        self._store = store
        self._writer = writer
        self._hooks = hooks
        self._queues = QueueController(store)

    def dead_letter_claimed(
        self, queue: str, project: Project, claim: bytes, messages: Sequence[Candidate], now: float
    ) -> list[bytes]:
        """Dead-letter messages of a claim; release and return the ids of those that no queue takes.

        An unreadable message is always taken: by :data:`UNREADABLE_QUEUE` in the end.
        """
        keys = self._store.keys(project, queue)
        metadata = self._store.client.command("HGET", keys.queue, "metadata")
        if metadata is None:
            return []
        refused = []
        source = source_of(self._store, queue, project, metadata, claim, now)
        for dead_letter, outcome in self.move(source, [to_dead_letter(source, message) for message in messages]):
            if outcome is DeadLetterOutcome.STORED:
                continue
            if dead_letter.is_unreadable:
                self.store_unreadable(source, dead_letter)
            else:
                self._store.run(_RELEASE, keys, claim, dead_letter.id, 0)
                refused.append(dead_letter.id)
        return refused

    def move(
        self, source: Source, dead_letters: Iterable[DeadLetter]
    ) -> Iterator[tuple[DeadLetter, DeadLetterOutcome]]:
        """Move dead letters in order, and yield each with its outcome; one that is stored is removed here."""
        for target, batch in _batches(dead_letters):
            outcome = DeadLetterOutcome.UNROUTABLE if target is None else self._move_here(source, target, batch)
            if outcome is not DeadLetterOutcome.UNROUTABLE:
                yield from ((dead_letter, outcome) for dead_letter in batch)
                continue
            for dead_letter in batch:
                message = dead_letter.to_new_message()
                outcome = forward(self._hooks, source.project, target, source.policy, message)
                if outcome is DeadLetterOutcome.STORED:
                    self.remove(source, [dead_letter])
                yield dead_letter, outcome

    def store_unreadable(self, source: Source, dead_letter: DeadLetter) -> None:
        """Move an unreadable dead letter that no queue takes to :data:`UNREADABLE_QUEUE` of this store."""
        self._queues.create(UNREADABLE_QUEUE, {}, source.project)
        self._move_here(source, UNREADABLE_QUEUE, [dead_letter])

    def remove(self, source: Source, dead_letters: Sequence[DeadLetter]) -> None:
        """Remove dead letters that are stored elsewhere, or that have no target."""
        joined = b"".join(dead_letter.id for dead_letter in dead_letters)
        if source.claim:
            self._store.client.call(ACK, source.keys.acking, self._store.now(), source.claim, joined)
        else:
            self._store.client.call(_REMOVE_DEAD, source.keys.dead_lettering, self._store.now(), joined, b"", 0)

    def retry_later(self, source: Source, dead_letters: Sequence[DeadLetter], delay: float) -> None:
        """Keep dead messages whose target is unreachable; the next use of the queue after the delay retries them."""
        joined = b"".join(dead_letter.id for dead_letter in dead_letters)
        self._store.client.call(_REMOVE_DEAD, source.keys.dead_lettering, self._store.now(), b"", joined, delay)

    def _move_here(self, source: Source, target: str, dead_letters: Sequence[DeadLetter]) -> DeadLetterOutcome:
        """Move dead letters to a queue of this store; without that queue they are unroutable."""
        if self._store.client.is_cluster:
            return self._post_and_remove(source, target, dead_letters)
        keys = self._store.keys(source.project, target)
        both = (*source.keys.dead_lettering, keys.queue, keys.records, keys.free, keys.expiring, keys.wakeup)
        arguments = [part for dead_letter in dead_letters for part in dead_letter.move_arguments()]
        reply = self._store.run_dead_lettering(_MOVE_DEAD, both, source.claim, *arguments)
        if reply is None:
            return DeadLetterOutcome.UNROUTABLE
        if reply[1]:
            self._writer.make_room(target, source.project)
        return DeadLetterOutcome.STORED

    def _post_and_remove(self, source: Source, target: str, dead_letters: Sequence[DeadLetter]) -> DeadLetterOutcome:
        """Post dead letters, then remove them: in a cluster no script may use the keys of two queues."""
        arguments = [part for dead_letter in dead_letters for part in dead_letter.post_arguments()]
        try:
            ids, _ = self._writer.post(target, source.project, [*NO_IDEMPOTENCY_KEY, *arguments])
        except KombuPoolError as error:
            # A full queue, or a node without memory, must not keep other messages of the source from being claimed.
            logger.warning(
                "Dead letters of queue %r stay in it, as queue %r refused them: %s", source.queue, target, error
            )
            return DeadLetterOutcome.UNREACHABLE
        if ids is None:
            return DeadLetterOutcome.UNROUTABLE
        self.remove(source, dead_letters)
        return DeadLetterOutcome.STORED


class DeadMessages:
    """The dead messages of all queues: takes them and has them moved, in one process at a time."""

    def __init__(self, store: Store, mover: DeadLetterMover) -> None:
        self._store = store
        self._mover = mover

    def dead_letter_all(self) -> int:
        """Dead-letter the dead messages of all queues; return how many left."""
        store = self._store
        queues: Sequence[bytes] = store.client.call(_QUEUES_WITH_DEAD, (store.queues_with_dead,), store.now())
        count = 0
        for start in range(0, len(queues), _QUEUES_AT_ONCE):
            scopes = [store.scope(queue) for queue in queues[start : start + _QUEUES_AT_ONCE]]
            calls = [(store.keys(*scope).dead_lettering, (store.now(), 0, 0)) for scope in scopes]
            replies = store.client.calls(_PEEK_DEAD, calls)
            count += sum(
                self.dead_letter(queue, project)
                for (project, queue), reply in zip(scopes, replies, strict=True)
                if reply is not None and reply[0]
            )
        return count

    def try_dead_letter(self, queue: str, project: Project) -> None:
        """Dead-letter the dead messages of a queue after another operation, which must not fail for it."""
        try:
            self.dead_letter(queue, project)
        except KombuPoolError as error:
            logger.warning("Dead messages of queue %r stay in it: %s", queue, error)

    def dead_letter(self, queue: str, project: Project) -> int:
        """Dead-letter the dead messages of a queue; return how many left."""
        keys = self._store.keys(project, queue)
        count, unreachable, is_more = 0, [], True
        while is_more:
            reply = self._store.client.call(_TAKE_DEAD, keys.dead_lettering, self._store.now(), _BATCH, RESERVATION_TTL)
            if reply is None:
                break
            more, now, metadata, ids, stored = reply
            source = source_of(self._store, queue, project, metadata, b"", float(now))
            dead_ids = codec.split_ids(ids, codec.DEAD_ID_BYTES)
            taken = [to_dead_letter(source, parse_dead(*dead)) for dead in zip(dead_ids, stored, strict=True)]
            failed = self._move(source, taken)
            count += len(taken) - len(failed)
            unreachable += failed
            # A batch of which all failed stands for the rest.
            is_more = bool(more) and (not taken or len(failed) < len(taken))
        if unreachable:
            self._mover.retry_later(source, unreachable, _RETRY_AFTER)
        return count

    def _move(self, source: Source, dead_letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Move dead letters; return those whose target is unreachable."""
        failed = []
        for dead_letter, outcome in self._mover.move(source, dead_letters):
            if outcome is DeadLetterOutcome.UNREACHABLE:
                failed.append(dead_letter)
            elif outcome is DeadLetterOutcome.UNROUTABLE and dead_letter.is_unreadable:
                self._mover.store_unreadable(source, dead_letter)
            elif outcome is DeadLetterOutcome.UNROUTABLE:
                self._mover.remove(source, [dead_letter])
        return failed


def _batches(dead_letters: Iterable[DeadLetter]) -> Iterator[tuple[str | None, list[DeadLetter]]]:
    """Yield dead letters in order, in batches of one target and bounded size."""
    batch: list[DeadLetter] = []
    size = 0
    for dead_letter in dead_letters:
        size += len(dead_letter.body)
        if batch and (dead_letter.target != batch[0].target or len(batch) == _BATCH or size > _BATCH_BYTES):
            yield batch[0].target, batch
            batch, size = [], len(dead_letter.body)
        batch.append(dead_letter)
    if batch:
        yield batch[0].target, batch
