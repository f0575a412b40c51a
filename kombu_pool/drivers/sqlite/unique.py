"""The ids that unique messages hold in a queue; all of it happens in the transaction that stores the messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.sqlite.message_keys import change, remove_found, to_found
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.model import EXTEND, REPLACE, PresentId
from kombu_pool.storage.unique import UniquePost

if TYPE_CHECKING:
    import sqlite3

    from kombu_pool.drivers.sqlite.message_keys import Found
    from kombu_pool.drivers.sqlite.times import Now
    from kombu_pool.model import Uniqueness
    from kombu_pool.storage.policy import Policy
    from kombu_pool.storage.validation import ValidMessage

_SQL = statements("message_keys")
_BY_UNIQUE_ID, _BY_ID = (f"{_SQL['found']} {_SQL[name]}" for name in ("by_unique_id", "by_id"))


def settle(
    connection: sqlite3.Connection, queue: int, policy: Policy, post: UniquePost, now: Now
) -> list[ValidMessage]:
    """Drop the messages of a post whose id is held, remove those that they replace, and return the others."""
    return post.drop(
        [
            None if message.unique is None else _settle_one(connection, queue, policy, message, message.unique, now)
            for message in post.messages
        ]
    )


def _settle_one(
    connection: sqlite3.Connection, queue: int, policy: Policy, message: ValidMessage, unique: Uniqueness, now: Now
) -> PresentId | None:
    held, found = _holder(connection, queue, unique.id, now)
    if held is None:
        # A claimed message would hold the id again once its claim ends, though the new one has it by then.
        connection.execute(_SQL["free_ids"], {"queue": queue, "name": unique.id})
        return None
    waits = found is not None and found.claim is None
    if UniquePost.takes_over(message, held.key, waits=waits):
        if found is not None:
            connection.execute(_SQL["free_id"], (found.row[0],))
        return None
    if found is not None and waits and unique.conflict == REPLACE:
        remove_found(connection, found)
        return None
    if unique.conflict == EXTEND:
        delay = policy.delay if message.delay is None else message.delay
        due = now.wall + delay
        if found is not None and waits and due > max(found.due or 0, now.wall):
            change(connection, found, due, None, now)
        if not isinstance(unique.scope, str):
            connection.execute(_SQL["extend"], (now.wall + unique.scope, queue, unique.id))
    return held


def _holder(connection: sqlite3.Connection, queue: int, name: str, now: Now) -> tuple[PresentId | None, Found | None]:
    """Return the id of the message that holds an id, and the message if it is still there."""
    values: dict[str, Any] = {"queue": queue, "name": name, "wall": now.wall, "elapsed": now.elapsed}
    row = connection.execute(_BY_UNIQUE_ID, values).fetchone()
    if row is not None:
        found = to_found(row)
        return PresentId.of(str(found.row[0]), found.row[8]), found
    held = connection.execute(_SQL["held"], (queue, name, now.wall)).fetchone()
    if held is None:
        return None, None
    row = connection.execute(_BY_ID, {**values, "id": held[0]}).fetchone()
    return PresentId.of(str(held[0]), held[1]), None if row is None else to_found(row)


def holder(connection: sqlite3.Connection, queue: int, name: str, now: Now) -> PresentId | None:
    """Return the id of the message that holds an id, also of one that is put aside; None if none does."""
    aside = connection.execute(_SQL["aside_by_unique_id"], (queue, name)).fetchone()
    return _holder(connection, queue, name, now)[0] if aside is None else PresentId.of(str(aside[0]), aside[1])


def adopt(connection: sqlite3.Connection, queue: int, name: str, now: Now) -> bool:
    """Return whether a message from another store may hold an id in a queue, as no message here does."""
    if _holder(connection, queue, name, now)[0] is not None:
        return False
    connection.execute(_SQL["free_ids"], {"queue": queue, "name": name})
    return True


def hold(connection: sqlite3.Connection, queue: int, post: UniquePost | None, first: int, wall: float) -> None:
    """Let stored messages, whose ids count from ``first`` on, hold their ids for a time, if that is their scope."""
    for number, message in enumerate(post.stored if post else (), first):
        unique = message.unique
        if unique is not None and not isinstance(unique.scope, str):
            connection.execute(_SQL["hold"], (queue, unique.id, number, message.key, wall + unique.scope))
