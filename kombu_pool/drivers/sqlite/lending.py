"""How free messages leave their line: to a claim, to a pop, or aside when lent too often or when unreadable."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kombu_pool import codec
from kombu_pool.drivers.sqlite import deadletters
from kombu_pool.drivers.sqlite.scope import claim_name, message_number, project_key
from kombu_pool.drivers.sqlite.settling import CHUNK, CLAIMS, end_claim, settle
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.drivers.sqlite.views import shown_as
from kombu_pool.errors import CorruptRecord
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterOutcome
from kombu_pool.storage.policy import policy_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.sqlite.burying import Undertaker
    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.deadletters import Letter
    from kombu_pool.drivers.sqlite.views import Row
    from kombu_pool.model import ClaimMetadata, Message, Project
    from kombu_pool.storage import DeadLetterHooks
    from kombu_pool.storage.policy import Policy

_LOOK, _BATCH, _LEND, _TAKE, _BEGIN, _PROLONG, _LEND_ONE, _PICK = (
    CLAIMS[name] for name in ("look", "batch", "lend", "take", "begin", "prolong", "lend_one", "pick")
)
_FIND = statements("queues")["find"]
_DELETION = statements("deletion")

#: Transactions for settling before a lending goes on with what is free.
_SETTLING = 20


@dataclass
class Lending:
    """One call that lends: the claim to lend under (None to give away), how much, and what was lent so far."""

    queue: str
    project: Project
    limit: int
    claim: int | None
    ttl: float = 0
    grace: float = 0
    now: float = 0
    policy: Policy = field(init=False)
    messages: Sequence[Message] = ()
    #: The claim that keeps dead letters from others while another store is asked to take them.
    parking: int | None = None
    #: Messages that should be dead-lettered but that no queue takes.
    unwanted: set[int] = field(default_factory=set)


class Lender:
    """Lends messages, or gives them away."""

    def __init__(self, database: Database, clock: Clock, hooks: DeadLetterHooks, undertaker: Undertaker) -> None:
        self._database = database
        self._clock = clock
        self._hooks = hooks
        self._undertaker = undertaker

    def lend(
        self, queue: str, metadata: ClaimMetadata, limit: int, project: Project
    ) -> tuple[str | None, Sequence[Message]]:
        """Lend as :meth:`ClaimController.create` promises."""
        if not self._anything(queue, project, limit):
            return None, []
        claim = secrets.randbits(63)
        lending = Lending(queue, project, limit, claim, metadata["ttl"], metadata["grace"])
        self._draw_all(lending)
        return (claim_name(claim), lending.messages) if lending.messages else (None, [])

    def claim_by_id(
        self, queue: str, message_ids: Iterable[str], metadata: ClaimMetadata, project: Project
    ) -> tuple[str | None, Sequence[Message]]:
        """Lend as :meth:`ClaimController.claim_by_id` promises."""
        numbers = [message_number(message_id) for message_id in dict.fromkeys(message_ids)]
        if not self._anything(queue, project, len(numbers)):
            return None, []
        claim = secrets.randbits(63)
        lending = Lending(queue, project, len(numbers), claim, metadata["ttl"], metadata["grace"])
        with self._database.write as connection:
            lending.now = self._clock.time()
            found = connection.execute(_FIND, (project_key(project), queue)).fetchone()
            rows = _picked(connection, found[0], numbers, lending.now) if found else []
            if rows:
                _lend_each(connection, found[0], lending, claim, rows)
        return (claim_name(claim), lending.messages) if rows else (None, [])

    def pop(self, queue: str, limit: int, project: Project) -> Sequence[Message]:
        """Give away as :meth:`MessageController.pop` promises."""
        if not self._anything(queue, project, limit):
            return []
        lending = Lending(queue, project, limit, None)
        self._draw_all(lending)
        return lending.messages

    def _anything(self, queue: str, project: Project, limit: int) -> bool:
        """Tell whether there may be something to lend; mostly it only reads.

        Settles first what is to be settled, and buries what is dead.
        """
        now = self._clock.time()
        found = self._database.row(_LOOK, (now, project_key(project), queue))
        if found is None or limit < 1:
            return False
        if found[3]:
            settle(self._database, found[0], now, _SETTLING)
        if found[4] or (found[3] and policy_of(found[1]).expires_to_dlq):
            self._undertaker.dead_letter(found[0])
        return bool(found[2] or found[3])

    def _draw_all(self, lending: Lending) -> None:
        letters, more = self._draw(lending, [])
        while letters or more:
            # Not within a transaction: the other store may be waiting for this one.
            letters, more = self._draw(lending, [(letter, self._is_taken(letter, lending)) for letter in letters])

    def _is_taken(self, letter: Letter, lending: Lending) -> bool:
        delivery = deadletters.forward(self._hooks, lending.policy, letter, lending.project)
        return delivery is DeadLetterOutcome.STORED

    def _draw(self, lending: Lending, answers: list[tuple[Letter, bool]]) -> tuple[list[Letter], bool]:
        """Lend up to the limit; return letters for other stores, and whether there are more to be set aside."""
        with self._database.write as connection:
            found = connection.execute(_FIND, (project_key(lending.project), lending.queue)).fetchone()
            if found is None:
                return [], False
            queue, metadata = found
            lending.now, lending.policy = self._clock.time(), policy_of(metadata)
            if lending.parking is not None:
                self._unpark(connection, queue, lending, answers)
            return self._draw_rows(connection, queue, lending)

    def _draw_rows(self, connection: sqlite3.Connection, queue: int, lending: Lending) -> tuple[list[Letter], bool]:
        aside = 0
        while aside < CHUNK:
            rows = connection.execute(_BATCH, (queue, lending.now, lending.limit)).fetchall()
            messages, dead = _sort_out(rows, lending.policy, lending)
            if not dead:
                if rows:
                    _take(connection, queue, lending, rows, messages)
                return [], False
            letters = [letter for letter in dead if not self._set_aside(connection, queue, letter, lending)]
            if letters:
                # Nothing is lent before the answers are there: a letter that nobody takes is lent in its place.
                return letters, False
            aside += len(dead)
        return [], True

    def _set_aside(self, connection: sqlite3.Connection, queue: int, letter: Letter, lending: Lending) -> bool:
        """Move a letter to its queue, if that is in this store; else keep it from others for a while."""
        if deadletters.is_local(connection, letter, lending.project):
            deadletters.keep(self._database, connection, letter, lending.project)
            deadletters.remove(connection, queue, letter)
            return True
        if lending.parking is None:
            lending.parking, ends = secrets.randbits(63), lending.now + RESERVATION_TTL
            connection.execute(_BEGIN, (lending.parking, queue, RESERVATION_TTL, lending.now, ends, None))
        number, rank, count = letter.row[0], letter.row[1], letter.row[7]
        connection.execute(_DELETION["free"], (queue, rank, number))
        connection.execute(_LEND_ONE, (number, lending.parking, count))
        return False

    def _unpark(
        self, connection: sqlite3.Connection, queue: int, lending: Lending, answers: list[tuple[Letter, bool]]
    ) -> None:
        """Do with the parked letters what the other store's answers say."""
        for letter, delivered in answers:
            number = letter.row[0]
            if not connection.execute(_DELETION["is_held"], (number, lending.parking)).fetchone():
                continue  # It took too long: others have it now.
            if not delivered and not letter.unreadable:
                lending.unwanted.add(number)
                continue
            if not delivered:
                letter.target = UNREADABLE_QUEUE
                deadletters.keep(self._database, connection, letter, lending.project)
            deadletters.remove(connection, queue, letter)
        if lending.parking is not None:
            end_claim(connection, lending.parking, last=None)
        lending.parking = None


def _sort_out(rows: list[Row], policy: Policy, lending: Lending) -> tuple[list[Message], list[Letter]]:
    """Return the messages to lend, and those to set aside instead."""
    messages: list[Message] = []
    dead: list[Letter] = []
    now, claim, most = lending.now, lending.claim, policy.max_claim_count
    claim_id = None if claim is None else claim_name(claim)
    for row in rows:
        try:
            message = shown_as(row, now, claim_id, row[7] + 1)
        except CorruptRecord as error:
            dead.append(deadletters.unreadable(lending.queue, policy, row, now, error))
            continue
        if most and row[7] >= most and row[0] not in lending.unwanted:
            dead.append(deadletters.overdue(lending.queue, policy, row, now))
            continue
        if claim is None and row[6] is not None:
            message["claim_id"] = claim_name(row[6])
        messages.append(message)
    return messages, dead


def _take(
    connection: sqlite3.Connection, queue: int, lending: Lending, rows: list[Row], messages: list[Message]
) -> None:
    """Lend the first rows of the line, or give them away."""
    last = rows[-1]
    if lending.claim is None:
        connection.executemany(_DELETION["message"], [(row[0],) for row in rows])
    else:
        _lend(connection, queue, lending, rows, messages)
    connection.execute(_TAKE, (queue, last[1], last[0], lending.now))
    lending.messages = messages


def _lend(
    connection: sqlite3.Connection, queue: int, lending: Lending, rows: list[Row], messages: list[Message]
) -> None:
    last = rows[-1]
    connection.execute(_LEND, (lending.claim, queue, last[1], last[0], lending.now))
    _begin(connection, queue, lending, rows, messages)


def _picked(connection: sqlite3.Connection, queue: int, numbers: Iterable[int], now: float) -> list[Row]:
    """Return the rows of those messages that are free and can be read, in order."""
    found = (connection.execute(_PICK, (number, queue, now)).fetchone() for number in numbers)
    return sorted((row for row in found if row is not None and _is_readable(row)), key=lambda row: (row[1], row[0]))


def _is_readable(row: Row) -> bool:
    try:
        codec.decode(row[5])
    except CorruptRecord:
        return False
    return True


def _lend_each(connection: sqlite3.Connection, queue: int, lending: Lending, claim: int, rows: list[Row]) -> None:
    """Lend some messages, wherever they stand in the line."""
    lending.messages = [shown_as(row, lending.now, claim_name(claim), row[7] + 1) for row in rows]
    connection.executemany(_DELETION["free"], [(queue, row[1], row[0]) for row in rows])
    connection.executemany(_LEND_ONE, [(row[0], claim, row[7] + 1) for row in rows])
    _begin(connection, queue, lending, rows, lending.messages)


def _begin(
    connection: sqlite3.Connection, queue: int, lending: Lending, rows: list[Row], messages: Sequence[Message]
) -> None:
    """Begin the claim, and keep those of its messages that would expire before it."""
    ends, expiries = lending.now + lending.ttl, []
    kept, ttl = ends + lending.grace, lending.ttl + lending.grace
    for row, message in zip(rows, messages, strict=True):
        expires = row[8]
        if expires is None:
            continue
        if expires < ends:
            expires, message["ttl"] = kept, ttl
            connection.execute(_PROLONG, (kept, ttl, row[0]))
        expiries.append(expires)
    began = (lending.claim, queue, lending.ttl, lending.now, ends, min(expiries, default=None))
    connection.execute(_BEGIN, began)
