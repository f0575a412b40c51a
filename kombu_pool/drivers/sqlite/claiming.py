"""Claims or pops free messages; dead-letters those over the delivery limit and those with an undecodable record."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kombu_pool.drivers.dead_letters import Candidate, DeadLetter, Source
from kombu_pool.drivers.sqlite.codec import claim_id_of, message_number, project_key, to_claimed_message
from kombu_pool.drivers.sqlite.dead_letters import candidate, is_local, is_storable, store_dead_letter
from kombu_pool.drivers.sqlite.incarnations import find_queue
from kombu_pool.drivers.sqlite.posting import SOON
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.drivers.sqlite.states import CHUNK, advance, end_claim, remove
from kombu_pool.drivers.sqlite.times import NEVER, Now
from kombu_pool.errors import CorruptRecord, QueueDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, UNREADABLE_QUEUE, ClaimController
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterOutcome, DeadLetterReason
from kombu_pool.storage.policy import policy_of
from kombu_pool.storage.validation import check_claim

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from kombu_pool.drivers.sqlite.codec import Row
    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.dead_letters import DeadLetters
    from kombu_pool.drivers.sqlite.times import StoreClock
    from kombu_pool.model import ClaimMetadata, Message, Project
    from kombu_pool.storage.policy import Policy

_SQL = statements("claiming")
_PEEK, _FIRST_FREE, _FREE_BY_ID = _SQL["peek"], _SQL["first_free"], _SQL["free_by_id"]
_CLAIM_ONE, _CLAIM_UP_TO, _REMOVE_FREE_UP_TO = _SQL["claim_one"], _SQL["claim_up_to"], _SQL["remove_free_up_to"]
_CREATE, _EXTEND_EXPIRY = _SQL["create"], _SQL["extend_expiry"]
_FIND = statements("queues")["find"]
_DELETION = statements("deletion")

#: Transactions in which a claim advances its queue at most, before it continues with the messages that are free.
_ADVANCE_LIMIT = 20


@dataclass
class ClaimRequest:
    """One call that claims: the id of the new claim (None: a pop), its limit, and the messages claimed so far."""

    queue: str
    project: Project
    limit: int
    claim: int | None
    ttl: float = 0
    grace: float = 0
    #: The process that holds the claim, if it is named.
    holder: str | None = None
    now: Now = NEVER
    #: What the queue must bear; None: anything.
    incarnation: str | None = None
    policy: Policy = field(init=False)
    messages: Sequence[Message] = ()
    #: The queue as the source of the dead letters in ``reservation``.
    source: Source[int] = field(init=False)
    #: The claim that reserves dead letters while another store is asked to take them.
    reservation: int | None = None
    #: Messages over the delivery limit that no dead-letter queue takes: they are claimed.
    unroutable: set[int] = field(default_factory=set)


class Claimer(ClaimController):
    """Claims or pops messages."""

    def __init__(self, database: Database, clock: StoreClock, dead_letters: DeadLetters) -> None:
        self._database = database
        self._clock = clock
        self._dead_letters = dead_letters

    def create(
        self,
        queue: str,
        metadata: ClaimMetadata,
        project: Project = None,
        limit: int = DEFAULT_LIMIT,
        *,
        incarnation: str | None = None,
    ) -> tuple[str | None, Sequence[Message]]:
        check_claim(metadata)
        if not self._has_claimable(queue, project, limit, incarnation):
            return None, []
        claim = secrets.randbits(63)
        request = _request(queue, metadata, project, limit, claim)
        request.incarnation = incarnation
        self._fulfil(request)
        return self._result(claim, request)

    def claim_by_id(
        self, queue: str, message_ids: Iterable[str], metadata: ClaimMetadata, project: Project = None
    ) -> tuple[str | None, Sequence[Message]]:
        check_claim(metadata)
        numbers = [message_number(message_id) for message_id in dict.fromkeys(message_ids)]
        if not self._has_claimable(queue, project, len(numbers), while_paused=True):
            return None, []
        claim = secrets.randbits(63)
        request = _request(queue, metadata, project, len(numbers), claim)
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            request.now = self._clock.now()
            found = connection.execute(_FIND, (project_key(project), queue)).fetchone()
            rows = _free_rows(connection, found[0], numbers, request.now.wall) if found else []
            if rows:
                _claim_each(connection, found[0], request, claim, rows)
        return self._result(claim, request)

    def _result(self, claim: int, request: ClaimRequest) -> tuple[str | None, Sequence[Message]]:
        if not request.messages:
            return None, []
        if request.ttl < SOON:
            self._database.wake()
        return claim_id_of(claim), request.messages

    def pop(self, queue: str, limit: int, project: Project) -> Sequence[Message]:
        """Pop messages as :meth:`MessageController.pop` promises."""
        if not self._has_claimable(queue, project, limit):
            return []
        request = ClaimRequest(queue, project, limit, None)
        self._fulfil(request)
        return request.messages

    def _has_claimable(
        self, queue: str, project: Project, limit: int, incarnation: str | None = None, *, while_paused: bool = False
    ) -> bool:
        """Return whether messages may be claimable, after advancing the queue and moving its dead messages.

        Usually it only reads.

        Raises:
            QueueDoesNotExist: as :meth:`ClaimController.create`.
        """
        now = self._clock.now()
        found = self._database.row(_PEEK, (*now, project_key(project), queue))
        if incarnation is not None and (found is None or found[5] != incarnation):
            raise QueueDoesNotExist(queue, project)
        if found is None or limit < 1:
            return False
        if found[3]:
            advance(self._database, found[0], now, _ADVANCE_LIMIT)
        if found[4] or (found[3] and policy_of(found[1]).expires_to_dlq):
            self._dead_letters.dead_letter_some(found[0])
        return bool(found[2] or found[3]) and (while_paused or not found[6])

    def _fulfil(self, request: ClaimRequest) -> None:
        letters, more = self._attempt(request, [])
        while letters or more:
            # Not within a transaction: the other store may be waiting for this one.
            letters, more = self._attempt(request, [(letter, self._is_stored(letter, request)) for letter in letters])

    def _is_stored(self, letter: DeadLetter, request: ClaimRequest) -> bool:
        return self._dead_letters.forward(request.source, letter) is DeadLetterOutcome.STORED

    def _attempt(self, request: ClaimRequest, outcomes: list[tuple[DeadLetter, bool]]) -> tuple[list[DeadLetter], bool]:
        """Claim up to the limit; return dead letters for other stores, and whether further dead letters may follow."""
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            # Not with a reservation: the outcomes of its dead letters count, whatever became of the queue.
            checked = request.incarnation if request.reservation is None else None
            found = find_queue(connection, request.queue, request.project, checked)
            if found is None:
                return [], False
            queue, metadata, present, paused = found
            request.now, request.policy = self._clock.now(), policy_of(metadata)
            if request.reservation is not None:
                self._apply(connection, queue, request, outcomes)
                if request.incarnation not in (None, present):
                    return [], False
            if paused:
                return [], False
            return self._claim_rows(connection, queue, request)

    def _claim_rows(
        self, connection: sqlite3.Connection, queue: int, request: ClaimRequest
    ) -> tuple[list[DeadLetter], bool]:
        moved = 0
        while moved < CHUNK:
            rows = connection.execute(_FIRST_FREE, (queue, request.now.wall, request.limit)).fetchall()
            messages, dead = _partition(rows, request.policy, request)
            if not dead:
                if rows:
                    _claim_first(connection, queue, request, rows, messages)
                return [], False
            request.source = Source(queue, request.project, request.queue, request.policy, request.now.wall)
            composed = [request.source.compose(message) for message in dead]
            letters = [letter for letter in composed if not self._move_or_reserve(connection, queue, letter, request)]
            if letters:
                # Nothing is claimed before the outcomes are known: an unroutable letter is claimed in its place.
                return letters, False
            moved += len(dead)
        return [], True

    def _move_or_reserve(
        self, connection: sqlite3.Connection, queue: int, letter: DeadLetter, request: ClaimRequest
    ) -> bool:
        """Move a dead letter whose target is in this store; reserve any other. Return whether it was moved."""
        if is_local(connection, letter, request.project):
            store_dead_letter(self._database, connection, letter, request.project)
            _remove_message(connection, queue, letter)
            return True
        request.reservation = request.reservation or _reserve(connection, queue, request.now)
        message = letter.message
        connection.execute(_DELETION["free"], (queue, -message.priority, message.id))
        connection.execute(_CLAIM_ONE, (message.id, request.reservation, message.claim_count))
        return False

    def _apply(
        self, connection: sqlite3.Connection, queue: int, request: ClaimRequest, outcomes: list[tuple[DeadLetter, bool]]
    ) -> None:
        """Remove the reserved dead letters that another store took, and free the others."""
        for letter, stored in outcomes:
            number = letter.message.id
            if not connection.execute(_DELETION["holds"], (number, request.reservation)).fetchone():
                continue  # The reservation ended: other claims may hold the message.
            if not stored and not letter.is_unreadable:
                request.unroutable.add(number)
                continue
            if not stored:
                letter.target = UNREADABLE_QUEUE
                if not is_storable(connection, letter, request.project):
                    # Not freed: the next attempt would find it again, and so on.
                    connection.execute(_SQL["hold"], (_reserve(connection, queue, request.now), number))
                    continue
                store_dead_letter(self._database, connection, letter, request.project)
            _remove_message(connection, queue, letter)
        if request.reservation is not None:
            end_claim(connection, request.reservation, last_claim=None)
        request.reservation = None


def _request(queue: str, metadata: ClaimMetadata, project: Project, limit: int, claim: int) -> ClaimRequest:
    return ClaimRequest(queue, project, limit, claim, metadata["ttl"], metadata["grace"], metadata.get("holder"))


def _reserve(connection: sqlite3.Connection, queue: int, now: Now) -> int:
    """Create a claim that keeps messages from the others for ``RESERVATION_TTL``."""
    claim = secrets.randbits(63)
    values = (claim, queue, RESERVATION_TTL, now.elapsed, now.elapsed + RESERVATION_TTL, None, None)
    connection.execute(_CREATE, values)
    return claim


def _remove_message(connection: sqlite3.Connection, queue: int, letter: DeadLetter) -> None:
    remove(connection, queue, [(letter.message.id, -letter.message.priority, None)])


def _partition(rows: list[Row], policy: Policy, request: ClaimRequest) -> tuple[list[Message], list[Candidate]]:
    """Return the messages to claim, and those to dead-letter instead."""
    messages: list[Message] = []
    dead: list[Candidate] = []
    now, claim, max_count = request.now.wall, request.claim, policy.max_claim_count
    claim_id = None if claim is None else claim_id_of(claim)
    for row in rows:
        try:
            message = to_claimed_message(row, now, claim_id, row[7] + 1)
        except CorruptRecord:
            dead.append(candidate(row, DeadLetterReason.UNREADABLE))
            continue
        if max_count and row[7] >= max_count and row[0] not in request.unroutable:
            dead.append(candidate(row, DeadLetterReason.DELIVERY_LIMIT))
            continue
        if claim is None and row[6] is not None:
            message["claim_id"] = claim_id_of(row[6])
        messages.append(message)
    return messages, dead


def _claim_first(
    connection: sqlite3.Connection, queue: int, request: ClaimRequest, rows: list[Row], messages: list[Message]
) -> None:
    """Claim or pop the first free messages."""
    number, rank = rows[-1][:2]
    if request.claim is None:
        connection.executemany(_DELETION["message"], [(row[0],) for row in rows])
    else:
        connection.execute(_CLAIM_UP_TO, (request.claim, queue, rank, number, request.now.wall))
        _create_claim(connection, queue, request, rows, messages)
    connection.execute(_REMOVE_FREE_UP_TO, (queue, rank, number, request.now.wall))
    request.messages = messages


def _free_rows(connection: sqlite3.Connection, queue: int, numbers: Iterable[int], now: float) -> list[Row]:
    """Return the rows of those messages that are free and can be decoded, in order."""
    found = (connection.execute(_FREE_BY_ID, (number, queue, now)).fetchone() for number in numbers)
    return sorted(
        (row for row in found if row is not None and _is_readable(row, now)), key=lambda row: (row[1], row[0])
    )


def _is_readable(row: Row, now: float) -> bool:
    try:
        to_claimed_message(row, now, None, 0)
    except CorruptRecord:
        return False
    return True


def _claim_each(connection: sqlite3.Connection, queue: int, request: ClaimRequest, claim: int, rows: list[Row]) -> None:
    """Claim some free messages, wherever they stand."""
    request.messages = [to_claimed_message(row, request.now.wall, claim_id_of(claim), row[7] + 1) for row in rows]
    connection.executemany(_DELETION["free"], [(queue, row[1], row[0]) for row in rows])
    connection.executemany(_CLAIM_ONE, [(row[0], claim, row[7] + 1) for row in rows])
    _create_claim(connection, queue, request, rows, request.messages)


def _create_claim(
    connection: sqlite3.Connection, queue: int, request: ClaimRequest, rows: list[Row], messages: Sequence[Message]
) -> None:
    """Create the claim, and extend the expiry of its messages that would expire before it ends."""
    # By the wall clock, as messages expire.
    ends, expiries = request.now.wall + request.ttl, []
    extended, ttl = ends + request.grace, request.ttl + request.grace
    for row, message in zip(rows, messages, strict=True):
        expires = row[9]
        if expires is None:
            continue
        if expires < ends:
            expires, message["ttl"] = extended, ttl
            connection.execute(_EXTEND_EXPIRY, (extended, ttl, row[0]))
        expiries.append(expires)
    renewed, earliest = request.now.elapsed, min(expiries, default=None)
    values = (request.claim, queue, request.ttl, renewed, renewed + request.ttl, earliest, request.holder)
    connection.execute(_CREATE, values)
