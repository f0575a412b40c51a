"""Dead letters of a SQLite store.

One process at a time moves the dead messages of a queue, in the order in which they died. While another store or an
exchange is asked to take the first, that message is reserved, and with it those behind it. If the asking process dies,
other processes continue after ``RESERVATION_TTL``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.dead_letters import NEVER, Candidate, DeadLetterMover, Source, Taken
from kombu_pool.drivers.sqlite.codec import project_key, project_of
from kombu_pool.drivers.sqlite.limits import make_room
from kombu_pool.drivers.sqlite.posting import lower_expiry, next_number
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.drivers.sqlite.states import advance
from kombu_pool.errors import QueueDoesNotExist
from kombu_pool.model import NO_INCARNATION
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import RESERVATION_TTL
from kombu_pool.storage.moving import is_sealed
from kombu_pool.storage.policy import policy_of, write

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from kombu_pool.drivers.dead_letters import DeadLetter
    from kombu_pool.drivers.sqlite.codec import Row
    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.times import Now, StoreClock
    from kombu_pool.model import Project
    from kombu_pool.storage import DeadLetterHooks

_SQL = statements("dead_letters")
_SOURCE, _FIRST, _REMOVE = _SQL["source"], _SQL["first"], _SQL["remove"]
_QUEUES = statements("queues")
_MESSAGES = statements("messages")

#: Dead letters that one transaction moves at most.
_CHUNK = 100
#: Dead letters of a queue that ``dead_letter_all`` moves at most.
_QUEUE_LIMIT = 10_000
#: Transactions in which ``dead_letter_all`` advances a queue at most.
_ADVANCE_LIMIT = 20


class DeadLetters(DeadLetterMover[int]):
    """Moves dead messages out of the queues in which they died."""

    is_ordered = True
    inline_limit = 500
    retry_after = 5.0

    def __init__(self, database: Database, clock: StoreClock, hooks: DeadLetterHooks) -> None:
        super().__init__(hooks)
        self._database = database
        self._clock = clock

    def dead_letter_all(self) -> int:
        """Move all dead messages as :meth:`DataDriver.dead_letter_all` promises."""
        now = self._clock.now()
        for (queue,) in self._database.rows(_SQL["queues_with_expired"], (now.wall,)):
            advance(self._database, queue, now, _ADVANCE_LIMIT)
            with self._database.write, self._database.lock, self._database.begin_write() as connection:
                connection.execute(_SQL["reset_expiry"], (queue,))
        queues = self._database.rows(_SQL["queues_with_dead"])
        return sum(self.dead_letter(queue, _QUEUE_LIMIT) for (queue,) in queues)

    def dead_letter(self, place: int, limit: float = NEVER) -> int:
        # Read first: a dead message that waits for others costs no transaction.
        now = self._clock.now()
        source = _source(place, self._database.row(_SOURCE, (place, now.elapsed)), now)
        if source is None:
            return 0
        if source.policy.dead_letter_exchange is not None and self._hooks.publish is None:
            return 0
        return super().dead_letter(place, limit)

    def take(self, place: int) -> Taken[int] | None:
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            now = self._clock.now()
            source = _source(place, connection.execute(_SOURCE, (place, now.elapsed)).fetchone(), now)
            taken = None if source is None else self._take(connection, source)
        if taken is not None and taken.moved:
            self._database.wake()
        return taken

    def _take(self, connection: sqlite3.Connection, source: Source[int]) -> Taken[int]:
        """Move dead letters within this store up to the first that leaves it, which is reserved."""
        for moved in range(_CHUNK):
            row = connection.execute(_FIRST, (source.place,)).fetchone()
            if row is None:
                return Taken(source, moved)
            letter = source.compose(candidate(row, row[11]))
            if letter.target is None and not source.policy.has_dlq:
                connection.execute(_REMOVE, row[:1])  # The queue names no target any more.
                continue
            if not is_local(connection, letter, source.project):
                connection.execute(_SQL["reserve"], (source.reservation, row[0]))
                return Taken(source, moved, [letter], is_more=True)
            store_dead_letter(self._database, connection, letter, source.project)
            connection.execute(_REMOVE, row[:1])
        return Taken(source, _CHUNK, is_more=True)

    def move(self, source: Source[int], letter: DeadLetter) -> None:
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            # If it was sealed just now, the letter stays until its reservation ends.
            is_there = is_storable(connection, letter, source.project)
            if is_there and connection.execute(_REMOVE, (letter.message.id,)).rowcount:
                store_dead_letter(self._database, connection, letter, source.project)

    def is_sealed(self, source: Source[int], name: str) -> bool:
        found = self._database.row(_QUEUES["find"], (project_key(source.project), name))
        return found is not None and is_sealed(found[2])

    def remove(self, source: Source[int], letter: DeadLetter) -> None:
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            connection.execute(_REMOVE, (letter.message.id,))

    def retry_later(self, source: Source[int], letters: Sequence[DeadLetter]) -> None:
        reservations = [(letter.message.id, source.reservation) for letter in letters]
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            connection.executemany(_SQL["unreserve"], reservations)


def _source(queue: int, row: tuple[str, str, bytes] | None, now: Now) -> Source[int] | None:
    """Return a queue as a source; its ``reservation`` is the time until which a dead letter is reserved."""
    if row is None:
        return None
    policy, reserved_until = policy_of(row[2]), now.elapsed + RESERVATION_TTL
    return Source(queue, project_of(row[0]), row[1], policy, now.wall, reserved_until)


def candidate(row: Row, reason: str) -> Candidate:
    """Return a message to dead-letter, whose row begins with its id, or with its position if it is dead."""
    number, rank, created, ttl, _, record, _, claim_count, key, expires, client, *_ = row
    ends = NEVER if expires is None else expires
    return Candidate(number, record, reason, claim_count, -rank, created, client, ttl, ends, key=key)


def is_local(connection: sqlite3.Connection, letter: DeadLetter, project: Project) -> bool:
    """Return whether the target of a dead letter is a queue of this store that is not sealed."""
    found = connection.execute(_QUEUES["find"], (project_key(project), letter.target)).fetchone()
    return found is not None and not is_sealed(found[2])


def is_storable(connection: sqlite3.Connection, letter: DeadLetter, project: Project) -> bool:
    """Return whether the target of a dead letter is a queue of this store that is not sealed, or may become one."""
    found = connection.execute(_QUEUES["find"], (project_key(project), letter.target)).fetchone()
    return found is None or not is_sealed(found[2])


def store_dead_letter(database: Database, connection: sqlite3.Connection, letter: DeadLetter, project: Project) -> None:
    """Store a dead letter in its target in this store, which is created if absent; its message is not removed.

    Raises:
        QueueDoesNotExist: the target is sealed.
    """
    scope = (project_key(project), letter.target or UNREADABLE_QUEUE)
    connection.execute(_QUEUES["create"], (*scope, write({}), NO_INCARNATION))
    queue, metadata, incarnation, last = connection.execute(_MESSAGES["target"], scope).fetchone()
    if is_sealed(incarnation):
        raise QueueDoesNotExist(scope[1], project)
    now, policy, message = letter.header["time"], policy_of(metadata), letter.message
    ttl, ends = letter.lifetime(policy.ttl)
    expires = None if ends == NEVER else ends
    number = database.last_number = next_number(max(last or 0, database.last_number), now)
    rank, header = -message.priority, write(letter.header)
    stored = (
        number,
        queue,
        rank,
        message.created,
        ttl,
        message.key,
        letter.record,
        expires,
        None,
        message.client,
        header,
        None,
        None,
    )
    connection.execute(_MESSAGES["store"], stored)
    connection.execute(_MESSAGES["free"], (queue, rank, number, expires))
    if policy.expires_to_dlq and expires is not None:
        lower_expiry(connection, queue, expires)
    # Not in the queue that it comes from: a message that made room there would come back as well, and so on.
    if policy.is_bounded and letter.target != letter.header["queue"]:
        make_room(connection, queue, policy, now, 1)
