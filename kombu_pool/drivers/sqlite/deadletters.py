"""Dead letters: messages that were lent too often, or cannot be read, on their way to a queue of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from kombu_pool.drivers.sqlite.posting import next_number
from kombu_pool.drivers.sqlite.scope import project_key
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.errors import KombuPoolError
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.policy import policy_of, write

if TYPE_CHECKING:
    import sqlite3

    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.driver import DataDriver
    from kombu_pool.drivers.sqlite.views import Row
    from kombu_pool.model import DeadLetter, NewMessage, Project
    from kombu_pool.storage.policy import Policy

LENT_TOO_OFTEN = "max_claim_count"
UNREADABLE = "unreadable"

_QUEUES = statements("queues")
_MESSAGES = statements("messages")
_DELETION = statements("deletion")


@dataclass
class Letter:
    """A row of a message to be moved to the queue ``target`` with another record and header; ``ttl`` 0 is for ever."""

    row: Row
    target: str
    record: bytes
    header: DeadLetter
    ttl: float
    expires: float | None

    @property
    def unreadable(self) -> bool:
        """Tell whether it is set aside because it cannot be read."""
        return self.header["reason"] == UNREADABLE


def overdue(queue: str, policy: Policy, row: Row, now: float) -> Letter | None:
    """Return the letter of a message that was lent as often as its queue allows, else None."""
    if not policy.max_claim_count or row[7] < policy.max_claim_count or policy.dead_letter_queue is None:
        return None
    return _letter(queue, policy, row, now, policy.dead_letter_queue, LENT_TOO_OFTEN, row[5])


def unreadable(queue: str, policy: Policy, row: Row, now: float, error: Exception) -> Letter:
    """Return the letter of a message that cannot be read."""
    record = write({"record": row[5], "error": str(error)})
    return _letter(queue, policy, row, now, policy.dead_letter_queue or UNREADABLE_QUEUE, UNREADABLE, record)


def _letter(queue: str, policy: Policy, row: Row, now: float, target: str, reason: str, record: bytes) -> Letter:
    header: DeadLetter = {"queue": queue, "reason": reason, "time": now, "count": row[7]}
    ttl = policy.dead_letter_ttl
    return Letter(row, target, record, header, ttl or row[3], now + ttl if ttl else row[8])


def is_local(connection: sqlite3.Connection, letter: Letter, project: Project) -> bool:
    """Tell whether the letter's queue is in this store."""
    return connection.execute(_QUEUES["find"], (project_key(project), letter.target)).fetchone() is not None


def keep(database: Database, connection: sqlite3.Connection, letter: Letter, project: Project) -> None:
    """Put a letter into its queue in this store, which is made if need be; the message itself is not removed."""
    scope = (project_key(project), letter.target)
    connection.execute(_QUEUES["create"], (*scope, write({})))
    queue, metadata, last = connection.execute(_MESSAGES["target"], scope).fetchone()
    now = letter.header["time"]
    longest = policy_of(metadata).ttl
    ttl, expires = letter.ttl, letter.expires
    if longest and (expires is None or expires > now + longest):
        ttl, expires = longest, now + longest
    number = database.last_number = next_number(max(last or 0, database.last_number), now)
    _, rank, created, *_ = letter.row
    (client,) = connection.execute(_MESSAGES["client"], (letter.row[0],)).fetchone()
    connection.execute(
        _MESSAGES["store"],
        (number, queue, rank, created, ttl, expires, None, client, write(letter.header), letter.record),
    )
    connection.execute(_MESSAGES["free"], (queue, rank, number, expires))


def remove(connection: sqlite3.Connection, queue: int, letter: Letter) -> None:
    """Remove a letter's message from the queue that it was in, free or claimed."""
    number, rank = letter.row[0], letter.row[1]
    connection.execute(_DELETION["free"], (queue, rank, number))
    connection.execute(_DELETION["claimed"], (number,))
    connection.execute(_DELETION["message"], (number,))


def forward(driver: DataDriver, letter: Letter, project: Project) -> bool:
    """Hand a letter to another store; return whether it is there now."""
    if driver.forward_dead_letter is None:
        return False
    try:
        return driver.forward_dead_letter(project, letter.target, _posted(letter))
    except KombuPoolError:
        # The queue it should go to is out of reach: that must not keep this queue's messages from being lent.
        return False


def _posted(letter: Letter) -> NewMessage:
    return {
        "ttl": None if letter.expires is None else letter.expires - letter.header["time"],
        "body": msgspec.msgpack.decode(letter.record),
        "delay": 0,
        "priority": -letter.row[1],
        "dead_letter": letter.header,
    }
