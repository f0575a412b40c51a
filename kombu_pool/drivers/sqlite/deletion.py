"""Deletes messages: by id, under a claim, or all of a queue; rejects claimed messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.codec import claim_id_of, claim_number, message_number, project_key
from kombu_pool.drivers.sqlite.incarnations import find_queue
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.drivers.sqlite.states import CHUNK, remove
from kombu_pool.errors import (
    ClaimDoesNotExist,
    ClaimDoesNotMatch,
    MessageIsClaimed,
    MessageNotClaimed,
    MessageNotClaimedBy,
)
from kombu_pool.storage.policy import policy_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Sequence

    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.times import StoreClock
    from kombu_pool.model import Project

_SQL = statements("deletion")
_STATE, _LIVE_CLAIM, _CLAIMED_BY, _MESSAGE, _EMPTY_CLAIM = (
    _SQL[name] for name in ("state", "live_claim", "claimed_by", "message", "empty_claim")
)
_FIND = statements("queues")["find"]
_MARK_CLAIMED_DEAD = statements("dead_letters")["mark_claimed_dead"]


def delete(
    database: Database, clock: StoreClock, queue: str, message_id: str, project: Project, claim_id: str | None
) -> None:
    """Delete a message as :meth:`MessageController.delete` promises."""
    claim = None if claim_id is None else claim_number(claim_id)
    if claim == -1:
        raise ClaimDoesNotExist(claim_id, queue, project)
    number = message_number(message_id)
    with database.write, database.lock, database.begin_write() as connection:
        found = connection.execute(_FIND, (project_key(project), queue)).fetchone()
        now = clock.now()
        state = connection.execute(_STATE, (number, found[0], *now)).fetchone() if found else None
        if state is None:
            return
        rank, due, holder, ends = state
        held = holder is not None and ends is not None and ends > now.elapsed
        if not held and claim is not None:
            raise MessageNotClaimed(message_id)
        if held and holder != claim:
            if claim is None:
                raise MessageIsClaimed(message_id)
            if connection.execute(_LIVE_CLAIM, (claim, found[0], now.elapsed)).fetchone():
                raise MessageNotClaimedBy(message_id, claim_id)
            raise ClaimDoesNotExist(claim_id, queue, project)
        remove(connection, found[0], [(number, rank, due)])
        end_empty_claims(connection, {holder})


def delete_many(
    database: Database,
    clock: StoreClock,
    queue: str,
    message_ids: Iterable[str],
    project: Project,
    claim_ids: Sequence[str] | None,
) -> None:
    """Delete messages as :meth:`MessageController.bulk_delete` promises."""
    numbers = [message_number(message_id) for message_id in dict.fromkeys(message_ids)]
    claims = None if claim_ids is None else {claim_number(claim_id) for claim_id in claim_ids}
    with database.write, database.lock, database.begin_write() as connection:
        found = connection.execute(_FIND, (project_key(project), queue)).fetchone()
        if found is None:
            return
        now = clock.now()
        rows, holders = [], set()
        for number in numbers:
            state = connection.execute(_STATE, (number, found[0], *now)).fetchone()
            if state is None:
                continue
            rank, due, holder, ends = state
            if claims is not None:
                _check_holder(
                    claims, number, holder if holder and ends and ends > now.elapsed else None, queue, project
                )
            rows.append((number, rank, due))
            holders.add(holder)
        remove(connection, found[0], rows)
        end_empty_claims(connection, holders)


def _check_holder(claims: Collection[int], number: int, holder: int | None, queue: str, project: Project) -> None:
    if holder is None:
        raise MessageNotClaimed(str(number))
    if holder not in claims:
        raise ClaimDoesNotMatch(claim_id_of(holder), queue, project)


def end_empty_claims(connection: sqlite3.Connection, claims: Iterable[int | None]) -> None:
    """Remove those of the claims that hold no message."""
    for claim in claims:
        if claim is not None:
            connection.execute(_EMPTY_CLAIM, (claim,))


class _NotAllHeldError(Exception):
    """Some of the messages are not held by their claims, so that each must be deleted by itself."""


def delete_claimed(
    database: Database,
    clock: StoreClock,
    queue: str,
    held: Sequence[tuple[str, str]],
    project: Project,
    incarnation: str | None = None,
) -> Sequence[tuple[str, str]]:
    """Delete messages as :meth:`MessageController.delete_claimed` promises.

    Raises:
        QueueDoesNotExist: there is no queue that bears the ``incarnation``, if one is given; nothing was deleted.
    """
    if not held:
        return []
    claims = {claim_id: claim_number(claim_id) for claim_id in {claim_id for _, claim_id in held}}
    pairs = [(message_number(message_id), claims[claim_id]) for message_id, claim_id in held]
    for delete_pairs in (_delete_all, _delete_each):
        try:
            with database.write, database.lock, database.begin_write() as connection:
                found = find_queue(connection, queue, project, incarnation)
                if found is None:
                    return list(held)
                live = _live_claims(connection, found[0], claims.values(), clock.elapsed())
                failed = delete_pairs(connection, pairs, live)
                end_empty_claims(connection, live)
        except _NotAllHeldError:
            continue
        break
    return [held[index] for index in failed]


def _live_claims(connection: sqlite3.Connection, queue: int, claims: Iterable[int], elapsed: float) -> set[int]:
    return {claim for claim in claims if connection.execute(_LIVE_CLAIM, (claim, queue, elapsed)).fetchone()}


def _delete_all(connection: sqlite3.Connection, pairs: list[tuple[int, int]], live: set[int]) -> list[int]:
    """Delete the messages if live claims hold all of them; else raise: the row count does not say which are held."""
    if len(live) < len({claim for _, claim in pairs}):
        raise _NotAllHeldError
    if connection.executemany(_CLAIMED_BY, pairs).rowcount != len(pairs):
        raise _NotAllHeldError
    connection.executemany(_MESSAGE, [pair[:1] for pair in pairs])
    return []


def _delete_each(connection: sqlite3.Connection, pairs: list[tuple[int, int]], live: set[int]) -> list[int]:
    """Delete the messages that live claims hold; return the indexes of the others."""
    deleted, failed = [], []
    for index, pair in enumerate(pairs):
        if pair[1] in live and connection.execute(_CLAIMED_BY, pair).rowcount:
            deleted.append(pair[:1])
        else:
            failed.append(index)
    connection.executemany(_MESSAGE, deleted)
    return failed


def reject(
    database: Database, clock: StoreClock, queue: str, held: Sequence[tuple[str, str]], project: Project, reason: str
) -> tuple[Sequence[tuple[str, str]], int | None]:
    """Reject messages as :meth:`MessageController.reject` promises; return also the queue, if it dead-letters them."""
    if not held:
        return [], None
    claims = {claim_id: claim_number(claim_id) for claim_id in {claim_id for _, claim_id in held}}
    with database.write, database.lock, database.begin_write() as connection:
        found = connection.execute(_FIND, (project_key(project), queue)).fetchone()
        if found is not None and policy_of(found[1]).has_dlq:
            live = _live_claims(connection, found[0], claims.values(), clock.elapsed())
            refused = [
                (message_id, claim_id)
                for message_id, claim_id in held
                if claims[claim_id] not in live
                or not _mark_dead(connection, message_number(message_id), claims[claim_id], reason)
            ]
            end_empty_claims(connection, live)
            return refused, found[0]
    return delete_claimed(database, clock, queue, held, project), None


def _mark_dead(connection: sqlite3.Connection, number: int, claim: int, reason: str) -> bool:
    """Mark a message dead if that claim holds it; return whether it does."""
    if not connection.execute(_MARK_CLAIMED_DEAD, (reason, number, claim)).rowcount:
        return False
    connection.execute(_CLAIMED_BY, (number, claim))
    connection.execute(_MESSAGE, (number,))
    return True


def purge(database: Database, queue: int, wall: float) -> int:
    """Delete the unclaimed messages of an advanced queue, up to the last posted; return how many they are."""
    last = database.row(_SQL["last_id"])[0] or 0
    total = 0
    for state in ("free", "delayed"):
        while True:
            with database.write, database.lock, database.begin_write() as connection:
                rows = connection.execute(_SQL[f"{state}_chunk"], (queue, last, CHUNK)).fetchall()
                connection.executemany(_MESSAGE, [(number,) for _, number, _ in rows])
                connection.executemany(_SQL[state], [(queue, key, number) for key, number, _ in rows])
            total += sum(expires is None or expires > wall for _, _, expires in rows)
            if len(rows) < CHUNK:
                break
    return total
