"""Moves dead messages to a queue of this store, or hands them to the hooks for other stores and exchanges.

One process at a time moves the dead messages of a queue, in the order in which they died. While another store or an
exchange is asked to take the first, that message is reserved, and with it those behind it. If the asking process dies,
other processes continue after ``RESERVATION_TTL``.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from kombu_pool import codec
from kombu_pool.drivers.sqlite.codec import project_key, project_of
from kombu_pool.drivers.sqlite.limits import make_room
from kombu_pool.drivers.sqlite.posting import lower_expiry, next_number
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.drivers.sqlite.states import advance, remove
from kombu_pool.errors import CorruptRecord, KombuPoolError
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage import dead_letters as storage
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterOutcome, DeadLetterReason
from kombu_pool.storage.policy import policy_of, write

if TYPE_CHECKING:
    import sqlite3

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.sqlite.codec import Row
    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.model import DeadLetter as Header
    from kombu_pool.model import NewMessage, Project
    from kombu_pool.storage import DeadLetterHooks
    from kombu_pool.storage.policy import Policy

logger = logging.getLogger(__name__)

_SQL = statements("dead_letters")
_SOURCE, _FIRST, _REMOVE = _SQL["source"], _SQL["first"], _SQL["remove"]
_QUEUES = statements("queues")
_MESSAGES = statements("messages")

#: Dead letters that one transaction moves at most.
_CHUNK = 100
#: Dead letters of a queue that a post, claim or rejection moves at most; those that ``dead_letter_all`` moves at most.
_INLINE_LIMIT, _QUEUE_LIMIT = 500, 10_000
#: Transactions in which ``dead_letter_all`` advances a queue at most.
_ADVANCE_LIMIT = 20
#: Seconds until a post, a claim or a rejection asks again for a target that was unreachable.
RETRY_AFTER = 5.0


@dataclass
class DeadLetter:
    """A message that moves to the queue ``target`` (None: to an exchange) with another record and header.

    ``ttl`` 0 never expires. The row of a dead message begins with its position, and has its client and reason last.
    """

    row: Row
    target: str | None
    record: bytes
    header: Header
    ttl: float
    expires: float | None

    @property
    def is_unreadable(self) -> bool:
        """Whether the record of the message cannot be decoded."""
        return self.header["reason"] == DeadLetterReason.UNREADABLE


class _Source(NamedTuple):
    """A queue that has dead messages."""

    number: int
    project: Project
    name: str
    policy: Policy


class _Reservation(NamedTuple):
    """A dead letter that this process hands to a hook, and the end of its reservation."""

    letter: DeadLetter
    until: float


class DeadLetterMover:
    """Moves dead messages out of the queues in which they died."""

    def __init__(self, database: Database, clock: Clock, hooks: DeadLetterHooks) -> None:
        self._database = database
        self._clock = clock
        self._hooks = hooks
        self._not_before: dict[int, float] = {}

    def dead_letter_all(self) -> int:
        """Move all dead messages as :meth:`DataDriver.dead_letter_all` promises."""
        now = self._clock.time()
        for (queue,) in self._database.rows(_SQL["queues_with_expired"], (now,)):
            advance(self._database, queue, now, _ADVANCE_LIMIT)
            with self._database.write as connection:
                connection.execute(_SQL["reset_expiry"], (queue,))
        return sum(self._move(queue, _QUEUE_LIMIT) for (queue,) in self._database.rows(_SQL["queues_with_dead"]))

    def dead_letter(self, queue: int) -> None:
        """Move some dead messages of a queue. Never raises a KombuPoolError: the caller's own work is done."""
        if self._not_before.get(queue, 0) > time.monotonic():
            return
        try:
            self._move(queue, _INLINE_LIMIT)
        except KombuPoolError as error:
            logger.warning("Dead messages stay in their queue until the next attempt to move them: %s", error)

    def _move(self, queue: int, limit: int) -> int:
        if not self._is_movable(queue):
            return 0
        total, more = 0, True
        while more and total < limit:
            with self._database.write as connection:
                source = _source(queue, connection.execute(_SOURCE, (queue, self._clock.time())).fetchone())
                moved, reservation = self._move_local(connection, source) if source else (0, None)
            if moved:
                self._database.wake()
            # Not within a transaction: the other store may be waiting for this one.
            forwarded = source is not None and reservation is not None and self._forward(source, reservation)
            total, more = total + moved + forwarded, forwarded or moved == _CHUNK
        return total

    def _is_movable(self, queue: int) -> bool:
        """Return whether a dead message can be moved, so that one that waits for others costs no transaction."""
        source = _source(queue, self._database.row(_SOURCE, (queue, self._clock.time())))
        if source is None or not source.policy.has_dlq:
            return False
        return source.policy.dead_letter_exchange is None or self._hooks.publish is not None

    def _move_local(self, connection: sqlite3.Connection, source: _Source) -> tuple[int, _Reservation | None]:
        """Move dead letters within this store up to the first that leaves it, which is reserved; return how many."""
        now = self._clock.time()
        for moved in range(_CHUNK):
            row = connection.execute(_FIRST, (source.number,)).fetchone()
            if row is None:
                return moved, None
            letter = from_dead_row(source.name, source.policy, row, now)
            if not is_local(connection, letter, source.project):
                connection.execute(_SQL["reserve"], (now + RESERVATION_TTL, row[0]))
                return moved, _Reservation(letter, now + RESERVATION_TTL)
            store_dead_letter(self._database, connection, letter, source.project)
            connection.execute(_REMOVE, row[:1])
        return _CHUNK, None

    def _forward(self, source: _Source, reservation: _Reservation) -> bool:
        """Hand a dead letter to a hook; return whether it has left its queue, so that the next may follow."""
        letter, position = reservation.letter, reservation.letter.row[0]
        outcome = forward(self._hooks, source.policy, letter, source.project)
        with self._database.write as connection:
            if outcome is DeadLetterOutcome.UNREACHABLE:
                connection.execute(_SQL["unreserve"], (position, reservation.until))
                self._not_before[source.number] = time.monotonic() + RETRY_AFTER
                return False
            removed = connection.execute(_REMOVE, (position,)).rowcount
            if removed and outcome is DeadLetterOutcome.UNROUTABLE and letter.is_unreadable:
                letter.target = UNREADABLE_QUEUE
                store_dead_letter(self._database, connection, letter, source.project)
        self._not_before.pop(source.number, None)
        return True


def _source(queue: int, row: tuple[str, str, bytes] | None) -> _Source | None:
    return None if row is None else _Source(queue, project_of(row[0]), row[1], policy_of(row[2]))


def over_delivery_limit(queue: str, policy: Policy, row: Row, now: float) -> DeadLetter:
    """Return the dead letter of a free message that was claimed as often as its queue allows."""
    return _dead_letter(queue, policy, row, now, policy.dead_letter_queue, DeadLetterReason.DELIVERY_LIMIT, row[5])


def from_dead_row(queue: str, policy: Policy, row: Row, now: float) -> DeadLetter:
    """Return the dead letter of a dead message; an undecodable record is the reason, whatever the stored one is."""
    try:
        codec.decode(row[5])
    except CorruptRecord as error:
        return unreadable(queue, policy, row, now, error)
    return _dead_letter(queue, policy, row, now, policy.dead_letter_queue, row[10], row[5])


def unreadable(queue: str, policy: Policy, row: Row, now: float, error: Exception) -> DeadLetter:
    """Return the dead letter of a message whose record cannot be decoded."""
    record = write({"record": row[5], "error": str(error)})
    target = policy.dead_letter_queue or UNREADABLE_QUEUE
    return _dead_letter(queue, policy, row, now, target, DeadLetterReason.UNREADABLE, record)


def _dead_letter(
    queue: str, policy: Policy, row: Row, now: float, target: str | None, reason: str, record: bytes
) -> DeadLetter:
    header: Header = {"queue": queue, "reason": reason, "time": now, "count": row[7]}
    ttl, expires = row[3], row[8]
    if policy.dead_letter_ttl:
        ttl, expires = policy.dead_letter_ttl, now + policy.dead_letter_ttl
    elif expires is not None and expires <= now:
        ttl, expires = 0, None
    return DeadLetter(row, target, record, header, ttl, expires)


def is_local(connection: sqlite3.Connection, letter: DeadLetter, project: Project) -> bool:
    """Return whether the target of a dead letter is a queue of this store."""
    return connection.execute(_QUEUES["find"], (project_key(project), letter.target)).fetchone() is not None


def store_dead_letter(database: Database, connection: sqlite3.Connection, letter: DeadLetter, project: Project) -> None:
    """Store a dead letter in its target in this store, which is created if absent; its message is not removed."""
    scope = (project_key(project), letter.target or UNREADABLE_QUEUE)
    connection.execute(_QUEUES["create"], (*scope, write({})))
    queue, metadata, last = connection.execute(_MESSAGES["target"], scope).fetchone()
    now, policy = letter.header["time"], policy_of(metadata)
    ttl, expires = _effective_ttl(letter, policy.ttl)
    number = database.last_number = next_number(max(last or 0, database.last_number), now)
    _, rank, created, *_ = letter.row
    client = _client(connection, letter.row)
    connection.execute(
        _MESSAGES["store"],
        (number, queue, rank, created, ttl, expires, None, client, write(letter.header), letter.record),
    )
    connection.execute(_MESSAGES["free"], (queue, rank, number, expires))
    if policy.expires_to_dlq and expires is not None:
        lower_expiry(connection, queue, expires)
    # Not in the queue that it comes from: a message that made room there would come back as well, and so on.
    if policy.is_bounded and letter.target != letter.header["queue"]:
        make_room(connection, queue, policy, now, 1)


def _effective_ttl(letter: DeadLetter, longest: float) -> tuple[float, float | None]:
    """Return the ttl and the expiry of a dead letter in a queue whose messages have a longest ttl."""
    end = letter.header["time"] + longest
    if longest and (letter.expires is None or letter.expires > end):
        return longest, end
    return letter.ttl, letter.expires


def _client(connection: sqlite3.Connection, row: Row) -> str | None:
    """Return the client that posted a message; a claim does not read it."""
    found = row[9:10] or connection.execute(_MESSAGES["client"], (row[0],)).fetchone()
    client: str | None = found[0]
    return client


def remove_message(connection: sqlite3.Connection, queue: int, letter: DeadLetter) -> None:
    """Remove the message of a dead letter, free or claimed, from its queue."""
    remove(connection, queue, [(letter.row[0], letter.row[1], None)])


def forward(hooks: DeadLetterHooks, policy: Policy, letter: DeadLetter, project: Project) -> DeadLetterOutcome:
    """Hand a dead letter to the hook for other stores or for exchanges."""
    return storage.forward(hooks, project, letter.target, policy, _to_new_message(letter))


def _to_new_message(letter: DeadLetter) -> NewMessage:
    return {
        "ttl": None if letter.expires is None else letter.expires - letter.header["time"],
        "body": msgspec.msgpack.decode(letter.record),
        "delay": 0,
        "priority": -letter.row[1],
        "dead_letter": letter.header,
    }
