"""Finds, cancels and changes messages by their key: an index has those of all queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool.drivers.records import moved_expiry, readable
from kombu_pool.drivers.sqlite import codec
from kombu_pool.drivers.sqlite.deletion import end_empty_claims
from kombu_pool.drivers.sqlite.posting import lower_expiry
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.drivers.sqlite.states import leave_state, remove
from kombu_pool.model import KeyResult
from kombu_pool.storage.keys import CLAIMED, DELAYED, FREE, check_change, found_message
from kombu_pool.storage.policy import policy_of
from kombu_pool.storage.validation import is_key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from kombu_pool.drivers.sqlite.codec import Row
    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.times import Now, StoreClock
    from kombu_pool.model import FoundMessage, Project

_SQL = statements("message_keys")
_BY_KEY = f"{_SQL['found']} {_SQL['by_key']}"


class Found(NamedTuple):
    """A message in its queue; ``ended`` is a claim that is over and still has it."""

    row: Row
    queue: int
    name: str
    metadata: bytes
    due: float | None
    expires: float | None
    claim: int | None
    ended: int | None

    @property
    def is_dead_letter(self) -> bool:
        """Whether the message has the header of a dead letter."""
        return self.row[4] is not None

    def view(self, wall: float) -> FoundMessage:
        """Return the message in the contract's form."""
        message = codec.to_message((*self.row[:5], readable(self.row[5]), *self.row[6:]), wall)
        if self.claim is not None:
            return found_message(message, self.name, CLAIMED)
        is_delayed = self.due is not None and self.due > wall
        return found_message(message, self.name, DELAYED if is_delayed else FREE, self.due if is_delayed else None)


class KeyedMessages:
    """The messages of a database file, by their keys."""

    def __init__(self, database: Database, clock: StoreClock) -> None:
        self._database = database
        self._clock = clock

    def find(self, key: object, queue: str | None, project: Project) -> KeyResult:
        """Return the messages with a key."""
        result = KeyResult()
        if is_key(key):
            now = self._clock.now()
            rows = self._database.rows(_BY_KEY, _arguments(key, queue, project, now))
            result.messages += [to_found(row).view(now.wall) for row in rows]
        return result

    def cancel(self, key: object, queue: str | None, project: Project) -> KeyResult:
        """Delete the messages with a key that wait, but no dead letters."""
        result = KeyResult()
        if not self._may_be_present(key, queue, project):
            return result
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            now = self._clock.now()
            for one in _select(connection, _arguments(key, queue, project, now)):
                if one.claim is not None:
                    result.claimed.append(one.view(now.wall))
                elif one.is_dead_letter:
                    result.dead_letters.append(one.view(now.wall))
                else:
                    result.messages.append(one.view(now.wall))
                    remove_found(connection, one)
        return result

    def change(
        self, key: object, due: float | None, priority: int | None, queue: str | None, project: Project
    ) -> KeyResult:
        """Change the messages with a key that wait."""
        check_change(due, priority)
        result = KeyResult()
        if not self._may_be_present(key, queue, project):
            return result
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            now = self._clock.now()
            arguments = _arguments(key, queue, project, now)
            waiting = [one for one in _select(connection, arguments) if one.claim is None]
            for one in waiting:
                change(connection, one, due, priority, now)
            changed = {one.row[0] for one in waiting}
            for one in _select(connection, arguments):
                (result.messages if one.row[0] in changed else result.claimed).append(one.view(now.wall))
        self._database.wake()
        return result

    def _may_be_present(self, key: object, queue: str | None, project: Project) -> bool:
        """Return whether a message has the key, or what removed it is not on the disk yet.

        This reads first: a key that no message has costs no transaction.
        """
        if not is_key(key):
            return False
        arguments = _arguments(key, queue, project, self._clock.now())
        return self._database.has_unflushed or self._database.row(_SQL["any_by_key"], arguments) is not None


def _arguments(key: object, queue: str | None, project: Project, now: Now) -> dict[str, Any]:
    return {"key": key, "queue": queue, "project": codec.project_key(project), "wall": now.wall, "elapsed": now.elapsed}


def _select(connection: sqlite3.Connection, arguments: dict[str, Any]) -> Sequence[Found]:
    return [to_found(row) for row in connection.execute(_BY_KEY, arguments).fetchall()]


def to_found(row: Row) -> Found:
    """Return the message of a row."""
    return Found(row[:9], *row[9:])


def remove_found(connection: sqlite3.Connection, one: Found) -> None:
    """Remove a message that waits."""
    remove(connection, one.queue, [(*one.row[:2], one.due)])
    end_empty_claims(connection, [one.ended])


def change(connection: sqlite3.Connection, one: Found, due: float | None, priority: int | None, now: Now) -> None:
    """Change a message that waits: it leaves its state, and enters the one that the change gives it."""
    number, rank, created, ttl = one.row[:4]
    before = one.due if one.due is not None and one.due > now.wall else None
    after = before if due is None else due if due > now.wall else None
    expires = one.expires
    if expires is not None and after != before:
        expires = moved_expiry(expires, before, after, now.wall)
        ttl = expires - created
    leave_state(connection, one.queue, [(number, rank, one.due)])
    end_empty_claims(connection, [one.ended])
    rank = rank if priority is None else -priority
    connection.execute(_SQL["change"], (rank, after, expires, ttl, number))
    if after is None:
        connection.execute(_SQL["free"], (one.queue, rank, number, expires, one.row[7], one.row[6]))
    else:
        connection.execute(_SQL["delay"], (one.queue, after, number, rank, expires, one.row[7]))
    if expires is not None and policy_of(one.metadata).expires_to_dlq:
        lower_expiry(connection, one.queue, expires)
