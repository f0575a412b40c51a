"""Dead letters of a Redis store."""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING, Any, TypeAlias

from kombu_pool.drivers.dead_letters import NEVER, Candidate, DeadLetterMover, Source, Taken
from kombu_pool.drivers.records import escape_surrogates
from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.codec import NO_IDEMPOTENCY_KEY
from kombu_pool.drivers.redis.deletion import ACK
from kombu_pool.drivers.redis.queues import QueueController
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import CorruptRecord, KombuPoolError
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterOutcome
from kombu_pool.storage.moving import is_sealed
from kombu_pool.storage.policy import policy_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kombu_pool.drivers.dead_letters import DeadLetter
    from kombu_pool.drivers.redis.posting import MessageWriter
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import Project
    from kombu_pool.storage import DeadLetterHooks

logger = logging.getLogger(__name__)

#: A project and the name of its queue.
Scope: TypeAlias = "tuple[Project, str]"

_QUEUES_WITH_DEAD = script("queues_with_dead", repeatable=True)
_PEEK_DEAD = script("take_dead", repeatable=True)
_TAKE_DEAD = script("take_dead")
_MOVE_DEAD = script("move_dead")
_REMOVE_DEAD = script("remove_dead", repeatable=True)
_RELEASE = script("release")
#: Dead messages that one run of a script takes or moves; Redis serves no other client meanwhile.
_BATCH = 200
#: Bytes of the bodies that one run moves.
_BATCH_BYTES = 8 * 1024 * 1024
#: Queues that are checked in one round trip.
_QUEUES_AT_ONCE = 200
#: Seconds after which the next use of a queue retries what was unreachable; ``dead_letter_all`` does so at once.
_RETRY_AFTER = 5.0


class DeadLetters(DeadLetterMover[Scope]):
    """Moves dead letters: each is stored at its target before it is removed here.

    The reservation of a source is the claim that holds its messages, or b"" for dead messages.
    """

    def __init__(self, store: Store, writer: MessageWriter, hooks: DeadLetterHooks) -> None:
        super().__init__(hooks)
        self._store = store
        self._writer = writer
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
        source = _source((project, queue), metadata, now, claim)
        taken = self._move_here(source, messages)
        rest = [letter for letter in taken.letters if not self._is_forwarded(source, letter)]
        refused = []
        for letter in [*taken.refused, *rest]:
            if letter.is_unreadable:
                self.move(source, letter)
            else:
                self._store.run(_RELEASE, keys, claim, letter.message.id, 0)
                refused.append(letter.message.id)
        return refused

    def dead_letter_all(self) -> int:
        """Dead-letter the dead messages of all queues; return how many left."""
        store = self._store
        queues: Sequence[bytes] = store.client.call(_QUEUES_WITH_DEAD, (store.queues_with_dead,), store.now())
        count = 0
        for start in range(0, len(queues), _QUEUES_AT_ONCE):
            scopes = [store.scope(queue) for queue in queues[start : start + _QUEUES_AT_ONCE]]
            calls = [(store.keys(*scope).dead_lettering, (store.now(), 0, 0)) for scope in scopes]
            replies = store.client.calls_where_reachable(_PEEK_DEAD, calls)
            count += sum(
                self.dead_letter(scope)
                for scope, reply in zip(scopes, replies, strict=True)
                if reply is not None and reply[0]
            )
        return count

    def take(self, place: Scope) -> Taken[Scope] | None:
        keys = self._store.keys(*place)
        reply = self._store.client.call(_TAKE_DEAD, keys.dead_lettering, self._store.now(), _BATCH, RESERVATION_TTL)
        if reply is None:
            return None
        more, now, metadata, ids, stored = reply
        dead_ids = codec.split_ids(ids, codec.DEAD_ID_BYTES)
        dead = [_parse_dead(*each, float(now)) for each in zip(dead_ids, stored, strict=True)]
        taken = self._move_here(_source(place, metadata, float(now)), dead)
        taken.is_more = bool(more)
        return taken

    def move(self, source: Source[Scope], letter: DeadLetter) -> None:
        self._queues.create(UNREADABLE_QUEUE, {}, source.project)
        self._move(source, UNREADABLE_QUEUE, [letter])

    def is_sealed(self, source: Source[Scope], name: str) -> bool:
        found = self._store.client.command("HGET", self._store.keys(source.project, name).queue, "incarnation")
        return found is not None and is_sealed(codec.unpack_incarnation(found))

    def remove(self, source: Source[Scope], letter: DeadLetter) -> None:
        self._remove(source, [letter])

    def retry_later(self, source: Source[Scope], letters: Sequence[DeadLetter]) -> None:
        keys = self._store.keys(*source.place).dead_lettering
        self._store.client.call(_REMOVE_DEAD, keys, self._store.now(), b"", _joined(letters), _RETRY_AFTER)

    def _is_forwarded(self, source: Source[Scope], letter: DeadLetter) -> bool:
        is_stored = self.forward(source, letter) is DeadLetterOutcome.STORED
        if is_stored:
            self.remove(source, letter)
        return is_stored

    def _move_here(self, source: Source[Scope], messages: Iterable[Candidate]) -> Taken[Scope]:
        """Move the dead letters of messages to queues of this store, in order, and return the others."""
        taken = Taken(source)
        for batch in _batches([source.compose(message) for message in messages]):
            target = batch[0].target
            outcome = DeadLetterOutcome.UNROUTABLE if target is None else self._move(source, target, batch)
            if outcome is DeadLetterOutcome.STORED:
                taken.moved += len(batch)
            else:
                (taken.letters if outcome is DeadLetterOutcome.UNROUTABLE else taken.refused).extend(batch)
        return taken

    def _move(self, source: Source[Scope], target: str, letters: Sequence[DeadLetter]) -> DeadLetterOutcome:
        """Move dead letters to a queue of this store; without that queue they are unroutable."""
        if self._store.client.is_cluster:
            return self._post_and_remove(source, target, letters)
        keys = self._store.keys(source.project, target)
        wanted = (keys.queue, keys.records, keys.free, keys.expiring, keys.message_keys, keys.by_key, keys.wakeup)
        both = (*self._store.keys(*source.place).dead_lettering, *wanted)
        arguments = [part for letter in letters for part in _move_arguments(letter)]
        reply = self._store.run_dead_lettering(_MOVE_DEAD, both, source.reservation, *arguments)
        if reply is None:
            return DeadLetterOutcome.UNROUTABLE
        if reply[1]:
            self._writer.make_room(target, source.project)
        return DeadLetterOutcome.STORED

    def _post_and_remove(self, source: Source[Scope], target: str, letters: Sequence[DeadLetter]) -> DeadLetterOutcome:
        """Post dead letters, then remove them: in a cluster no script may use the keys of two queues."""
        arguments = [part for letter in letters for part in _post_arguments(letter)]
        try:
            ids = self._writer.post(target, source.project, [*NO_IDEMPOTENCY_KEY, *arguments]).ids
        except KombuPoolError as error:
            # A full queue, or a node without memory, must not keep other messages of the source from being claimed.
            logger.warning(
                "Dead letters of queue %r stay in it, as queue %r refused them: %s", source.name, target, error
            )
            return DeadLetterOutcome.UNREACHABLE
        if ids is None:
            return DeadLetterOutcome.UNROUTABLE
        self._remove(source, letters)
        return DeadLetterOutcome.STORED

    def _remove(self, source: Source[Scope], letters: Sequence[DeadLetter]) -> None:
        store, keys = self._store, self._store.keys(*source.place)
        if source.reservation:
            store.client.call(ACK, keys.acking, store.now(), source.reservation, _joined(letters))
        else:
            store.client.call(_REMOVE_DEAD, keys.dead_lettering, store.now(), _joined(letters), b"", 0)


def _source(scope: Scope, metadata: bytes, now: float, claim: bytes = b"") -> Source[Scope]:
    return Source(scope, scope[0], escape_surrogates(scope[1]), policy_of(metadata), now, claim)


def candidate(
    message: bytes, stored: bytes, reason: str, claim_count: int, expires: bytes | None, now: float
) -> Candidate:
    """Return a message to dead-letter; ``message`` is its id, after the number of its death if it is dead."""
    priority, ends = 255 - message[-codec.ID_BYTES], float(expires) if expires else NEVER
    try:
        created, ttl, client, _, key, record = codec.unpack(stored)
    except CorruptRecord as error:
        return Candidate(message, stored, reason, claim_count, priority, now, None, 0, ends, error)
    return Candidate(message, record, reason, claim_count, priority, created, client, ttl, ends, key=key)


def _parse_dead(dead_id: bytes, stored: bytes, now: float) -> Candidate:
    """Return a dead message from what the scripts store of it."""
    reason, count, expires, record = stored.split(b":", 3)
    return candidate(dead_id, record, reason.decode(), int(count), expires, now)


def _joined(letters: Iterable[DeadLetter]) -> bytes:
    return b"".join(letter.message.id for letter in letters)


def _pack(letter: DeadLetter) -> bytes:
    return codec.pack(letter.ttl, letter.message.client, letter.header, letter.record, letter.message.key)


def _move_arguments(letter: DeadLetter) -> tuple[Any, ...]:
    """Return the arguments of the script that moves a dead letter."""
    record = struct.pack(">d", letter.message.created) + _pack(letter)
    return letter.message.id, record, "" if letter.expires == NEVER else letter.expires


def _post_arguments(letter: DeadLetter) -> tuple[Any, ...]:
    """Return the arguments of the scripts that post a dead letter."""
    ttl = 0 if letter.expires == NEVER else max(0.001, letter.expires - letter.header["time"])
    return f"{letter.message.priority}:{ttl!r}:0", _pack(letter)


def _batches(letters: Iterable[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """Yield dead letters in order, in batches of one target and bounded size."""
    batch: list[DeadLetter] = []
    size = 0
    for letter in letters:
        size += len(letter.record)
        if batch and (letter.target != batch[0].target or len(batch) == _BATCH or size > _BATCH_BYTES):
            yield batch
            batch, size = [], len(letter.record)
        batch.append(letter)
    if batch:
        yield batch
