"""Moves of queues out of a SQLite store, and into it; each call is one transaction."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import msgspec

from kombu_pool.drivers.records import to_seconds
from kombu_pool.drivers.sqlite import unique
from kombu_pool.drivers.sqlite.codec import message_number, project_key
from kombu_pool.drivers.sqlite.posting import idempotency_caches, lower_expiry
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.drivers.sqlite.states import advance
from kombu_pool.errors import MoveSuperseded, QueueDoesNotExist
from kombu_pool.moves import MovedMessage
from kombu_pool.storage.moving import BATCH_SIZE
from kombu_pool.storage.moving import MoveController as Contract
from kombu_pool.storage.policy import policy_of, write

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence

    from kombu_pool.drivers.sqlite.codec import Row
    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.times import Now, StoreClock
    from kombu_pool.model import IdempotencyKey, PresentId, Project

_SQL = statements("moving")
_FIND = statements("queues")["find"]
_PEEK = statements("claiming")["peek"]
_DELETION = statements("deletion")
_STORE = statements("messages")["store"]
_FREE, _DELAY = (statements("message_keys")[name] for name in ("free", "delay"))


class MoveController(Contract):
    """Moves messages between their tables and that of the messages that are put aside."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock
        self._idempotency = idempotency_caches[database.path]

    # What a call tells of the writes of another process is on the disk by then, due to ``flush_found``: the next step,
    # in another store, relies on it.

    def set_epoch(self, queue: str, project: Project = None, *, incarnation: str, epoch: int) -> Sequence[str]:
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            number = _require(connection, queue, project, incarnation)[0]
            present, batch = _arrival(connection, number)
            if present > epoch:
                raise MoveSuperseded(queue, project)
            if present < epoch:
                connection.execute(_SQL["set_epoch"], (number, epoch))
            self._database.flush_found()
        return batch

    def store(
        self, queue: str, messages: Sequence[MovedMessage], project: Project = None, *, incarnation: str, epoch: int
    ) -> None:
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            number, metadata, *_ = _require(connection, queue, project, incarnation)
            present, batch = _arrival(connection, number)
            if present != epoch:
                raise MoveSuperseded(queue, project)
            stored = {*batch}
            fresh = [message for message in messages if message.id not in stored]
            if fresh:
                _store(connection, number, fresh, self._clock.now())
                _lower_expiry(connection, number, metadata, fresh)
                connection.execute(_SQL["set_batch"], (json.dumps([message.id for message in messages]), number))
            self._database.flush_found()
        if fresh:
            self._database.wake()

    def take(
        self, queue: str, project: Project = None, limit: int = BATCH_SIZE, *, incarnation: str, delayed: bool = False
    ) -> Sequence[MovedMessage]:
        now = self._clock.now()
        if self._advanced(queue, project, incarnation, now) is None:
            return []
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            found = _find(connection, queue, project, incarnation)
            if found is None:
                return []
            rows = connection.execute(_SQL["aside"], found[:1]).fetchall()
            if not rows and _put_aside(connection, found[0], limit, now.wall, delayed=delayed):
                rows = connection.execute(_SQL["aside"], found[:1]).fetchall()
                _leave_states(connection, found[0], rows)
            if rows:
                self._database.flush_found()
        return [_to_moved(row) for row in rows]

    def remove(self, queue: str, message_ids: Collection[str], project: Project = None, *, incarnation: str) -> None:
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            number = _require(connection, queue, project, incarnation)[0]
            connection.executemany(_SQL["remove"], [(number, message_number(each)) for each in message_ids])

    def remaining(self, queue: str, project: Project = None, *, incarnation: str) -> int:
        now = self._clock.now()
        number = self._advanced(queue, project, incarnation, now)
        if number is None:
            return 0
        values = {"queue": number, "wall": now.wall, "limit": BATCH_SIZE}
        return int(self._database.row(_SQL["remaining"], values)[0] or self._database.row(_SQL["stateless"], values)[0])

    def completed_post(
        self, queue: str, idempotency_key: IdempotencyKey, project: Project = None
    ) -> Sequence[str] | None:
        # No post of another process has this key: the producer that asks makes one post at a time, in this process.
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            found = connection.execute(_FIND, (project_key(project), queue)).fetchone()
            if found is None:
                return None
            ids = self._idempotency.ids(idempotency_key, self._database.scope(found[0]))
            self._database.flush_found()
        return ids

    def unique_holder(self, queue: str, unique_id: str, project: Project = None) -> PresentId | None:
        with self._database.read, self._database.lock, self._database.begin_read() as connection:
            found = connection.execute(_FIND, (project_key(project), queue)).fetchone()
            return None if found is None else unique.holder(connection, found[0], unique_id, self._clock.now())

    def _advanced(self, queue: str, project: Project, incarnation: str, now: Now) -> int | None:
        """Advance the queue and return its id; None if it is absent."""
        found = self._database.row(_PEEK, (*now, project_key(project), queue))
        if found is None:
            return None
        if found[5] != incarnation:
            raise QueueDoesNotExist(queue, project)
        if found[3]:
            advance(self._database, found[0], now)
        return int(found[0])


def _find(connection: sqlite3.Connection, queue: str, project: Project, incarnation: str) -> Row | None:
    """Return the row of a queue; None if it is absent."""
    found: Row | None = connection.execute(_FIND, (project_key(project), queue)).fetchone()
    if found is not None and found[2] != incarnation:
        raise QueueDoesNotExist(queue, project)
    return found


def _require(connection: sqlite3.Connection, queue: str, project: Project, incarnation: str) -> Row:
    found = _find(connection, queue, project, incarnation)
    if found is None:
        raise QueueDoesNotExist(queue, project)
    return found


def _arrival(connection: sqlite3.Connection, queue: int) -> tuple[int, Sequence[str]]:
    """Return the epoch of a queue, 0 without one, and the ids of the last batch."""
    found = connection.execute(_SQL["arrival"], (queue,)).fetchone()
    return (0, []) if found is None else (found[0], json.loads(found[1]))


def _store(connection: sqlite3.Connection, queue: int, messages: Sequence[MovedMessage], now: Now) -> None:
    """Store messages under ids that are lower than those of all posts."""
    ((last,),) = connection.execute(_SQL["next_ids"], (len(messages),)).fetchall()
    adopted: set[str] = set()
    rows, free, delayed = [], [], []
    for number, message in enumerate(messages, last - len(messages) + 1):
        rank, expires, due, claims = -message.priority, message.expires, message.due, message.claim_count
        header = None if message.dead_letter is None else write(message.dead_letter)
        held: tuple[Any, Any] = (None, None)
        if message.unique is not None and message.unique[0] not in adopted:
            name = message.unique[0]
            held = message.unique if unique.adopt(connection, queue, name, now) else held
            adopted.add(name)
        created, ttl = _storable(message.created), _storable(to_seconds(message.ttl))
        begin = (number, queue, rank, created, ttl, message.key, message.record)
        rows.append((*begin, expires, due, message.client, header, *held))
        if due is None:
            free.append((queue, rank, number, expires, claims, None))
        else:
            delayed.append((queue, due, number, rank, expires, claims))
    for statement, values in ((_STORE, rows), (_FREE, free), (_DELAY, delayed)):
        connection.executemany(statement, values)


def _storable(seconds: float) -> float | str:
    """Return a time of a corrupt message as a text, if it is NaN, which SQLite stores as NULL."""
    return "nan" if math.isnan(seconds) else seconds


def _number(stored: Any) -> float:
    """Return a stored time; NaN for one that is no number, so that the message is as corrupt in its target."""
    return stored if isinstance(stored, int | float) else math.nan


def _lower_expiry(
    connection: sqlite3.Connection, queue: int, metadata: bytes, messages: Sequence[MovedMessage]
) -> None:
    expiries = [message.expires for message in messages if message.expires is not None]
    if expiries and policy_of(metadata).expires_to_dlq:
        lower_expiry(connection, queue, min(expiries))


def _put_aside(connection: sqlite3.Connection, queue: int, limit: int, wall: float, *, delayed: bool) -> int:
    """Copy the first messages of an advanced queue to those that are put aside; return how many."""
    count = 0
    for name in ("put_delayed_aside",) if delayed else ("put_free_aside", "put_delayed_aside"):
        if count < limit:
            count += connection.execute(_SQL[name], (queue, wall, limit - count)).rowcount
    return count


def _leave_states(connection: sqlite3.Connection, queue: int, rows: Sequence[Row]) -> None:
    """Remove messages that are put aside from the others."""
    connection.executemany(_DELETION["free"], [(queue, rank, number) for number, rank, due, *_ in rows if due is None])
    connection.executemany(
        _DELETION["delayed"], [(queue, due, number) for number, _, due, *_ in rows if due is not None]
    )
    connection.executemany(_DELETION["message"], [row[:1] for row in rows])


def _to_moved(row: Row) -> MovedMessage:
    number, rank, due, record, created, ttl, expires, claim_count, key, client, header, unique_id, is_waiting = row
    return MovedMessage(
        id=str(number),
        record=record,
        created=_number(created),
        ttl=_number(ttl),
        priority=-rank,
        expires=expires,
        due=due,
        claim_count=claim_count,
        key=key,
        client=client,
        dead_letter=None if header is None else msgspec.msgpack.decode(header),
        unique=None if unique_id is None else (unique_id, bool(is_waiting)),
    )
