"""Dead letters: messages on their way to a queue of their own, or to an exchange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from kombu_pool import codec
from kombu_pool.drivers.sqlite.bounds import make_room
from kombu_pool.drivers.sqlite.posting import expect_death, next_number
from kombu_pool.drivers.sqlite.scope import project_key
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.errors import CorruptRecord
from kombu_pool.storage import UNREADABLE_QUEUE, dead_letters
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.storage.policy import policy_of, write

if TYPE_CHECKING:
    import sqlite3

    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.views import Row
    from kombu_pool.model import DeadLetter, NewMessage, Project
    from kombu_pool.storage import DeadLetterHooks
    from kombu_pool.storage.dead_letters import DeadLetterOutcome
    from kombu_pool.storage.policy import Policy

_QUEUES = statements("queues")
_MESSAGES = statements("messages")
_DELETION = statements("deletion")


@dataclass
class Letter:
    """A row of a message to be moved to the queue ``target`` (None: to an exchange) with another record and header.

    ``ttl`` 0 is for ever. The row of a dead message has its place in front, and its client behind.
    """

    row: Row
    target: str | None
    record: bytes
    header: DeadLetter
    ttl: float
    expires: float | None

    @property
    def unreadable(self) -> bool:
        """Tell whether it is set aside because it cannot be read."""
        return self.header["reason"] == DeadLetterReason.UNREADABLE


def overdue(queue: str, policy: Policy, row: Row, now: float) -> Letter:
    """Return the letter of a message that was lent as often as its queue allows."""
    return _letter(queue, policy, row, now, policy.dead_letter_queue, DeadLetterReason.DELIVERY_LIMIT, row[5])


def letter_of(queue: str, policy: Policy, row: Row, now: float) -> Letter:
    """Return the letter of a dead message, which is unreadable if it cannot be read, whatever it died of."""
    try:
        codec.decode(row[5])
    except CorruptRecord as error:
        return unreadable(queue, policy, row, now, error)
    return _letter(queue, policy, row, now, policy.dead_letter_queue, row[10], row[5])


def unreadable(queue: str, policy: Policy, row: Row, now: float, error: Exception) -> Letter:
    """Return the letter of a message that cannot be read."""
    record = write({"record": row[5], "error": str(error)})
    return _letter(
        queue, policy, row, now, policy.dead_letter_queue or UNREADABLE_QUEUE, DeadLetterReason.UNREADABLE, record
    )


def _letter(queue: str, policy: Policy, row: Row, now: float, target: str | None, reason: str, record: bytes) -> Letter:
    header: DeadLetter = {"queue": queue, "reason": reason, "time": now, "count": row[7]}
    ttl, expires = row[3], row[8]
    if policy.dead_letter_ttl:
        ttl, expires = policy.dead_letter_ttl, now + policy.dead_letter_ttl
    elif expires is not None and expires <= now:
        ttl, expires = 0, None
    return Letter(row, target, record, header, ttl, expires)


def is_local(connection: sqlite3.Connection, letter: Letter, project: Project) -> bool:
    """Tell whether the letter's queue is in this store."""
    return connection.execute(_QUEUES["find"], (project_key(project), letter.target)).fetchone() is not None


def keep(database: Database, connection: sqlite3.Connection, letter: Letter, project: Project) -> None:
    """Put a letter into its queue in this store, which is made if need be; the message itself is not removed."""
    scope = (project_key(project), letter.target or UNREADABLE_QUEUE)
    connection.execute(_QUEUES["create"], (*scope, write({})))
    queue, metadata, last = connection.execute(_MESSAGES["target"], scope).fetchone()
    now, policy = letter.header["time"], policy_of(metadata)
    ttl, expires = _life(letter, policy.ttl)
    number = database.last_number = next_number(max(last or 0, database.last_number), now)
    _, rank, created, *_ = letter.row
    client = _client(connection, letter.row)
    connection.execute(
        _MESSAGES["store"],
        (number, queue, rank, created, ttl, expires, None, client, write(letter.header), letter.record),
    )
    connection.execute(_MESSAGES["free"], (queue, rank, number, expires))
    if policy.expires_to_dlq and expires is not None:
        expect_death(connection, queue, expires)
    # Not in the queue that it comes from: whoever made room there for it would have to come back, too, and so on.
    if policy.is_bounded and letter.target != letter.header["queue"]:
        make_room(connection, queue, policy, now, 1)


def _life(letter: Letter, longest: float) -> tuple[float, float | None]:
    """Return the ttl of a letter and when it expires, in a queue that gives its messages a longest ttl."""
    end = letter.header["time"] + longest
    if longest and (letter.expires is None or letter.expires > end):
        return longest, end
    return letter.ttl, letter.expires


def _client(connection: sqlite3.Connection, row: Row) -> str | None:
    """Return who posted a message; lending is spared to read it."""
    found = row[9:10] or connection.execute(_MESSAGES["client"], (row[0],)).fetchone()
    client: str | None = found[0]
    return client


def remove(connection: sqlite3.Connection, queue: int, letter: Letter) -> None:
    """Remove a letter's message from the queue that it was in, free or claimed."""
    number, rank = letter.row[0], letter.row[1]
    connection.execute(_DELETION["free"], (queue, rank, number))
    connection.execute(_DELETION["claimed"], (number,))
    connection.execute(_DELETION["message"], (number,))


def forward(hooks: DeadLetterHooks, policy: Policy, letter: Letter, project: Project) -> DeadLetterOutcome:
    """Hand a letter to another store or to an exchange."""
    return dead_letters.forward(hooks, project, letter.target, policy, _posted(letter))


def _posted(letter: Letter) -> NewMessage:
    return {
        "ttl": None if letter.expires is None else letter.expires - letter.header["time"],
        "body": msgspec.msgpack.decode(letter.record),
        "delay": 0,
        "priority": -letter.row[1],
        "dead_letter": letter.header,
    }
