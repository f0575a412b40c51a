"""Burying: what is dead goes to a queue of this store, or is handed over to those who know the others.

One at a time buries what a queue has, in the order of the deaths. While another store or an exchange is asked to take
the first, it is parked, and with it those behind it; if the asker dies over that, others go on after ``RESERVATION_TTL``.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite import deadletters
from kombu_pool.drivers.sqlite.scope import project_of
from kombu_pool.drivers.sqlite.settling import settle
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.errors import KombuPoolError
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterOutcome
from kombu_pool.storage.policy import policy_of

if TYPE_CHECKING:
    import sqlite3

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.deadletters import Letter
    from kombu_pool.model import Project
    from kombu_pool.storage import DeadLetterHooks
    from kombu_pool.storage.policy import Policy

logger = logging.getLogger(__name__)

_SQL = statements("burying")
_MOURNER, _FIRST, _FORGET = _SQL["mourner"], _SQL["first"], _SQL["forget"]

#: Messages in one transaction; in one call by the way; and of one queue in one call for all.
_CHUNK, _BY_THE_WAY, _MOST = 100, 500, 10_000
#: Transactions for settling a queue in one call for all.
_SETTLING = 20
#: Seconds for which a queue is not buried by the way after what should take its letters was out of reach.
RESTING = 5.0


@dataclass
class Mourner:
    """A queue that has something to bury."""

    number: int
    project: Project
    name: str
    policy: Policy


@dataclass
class Parked:
    """A letter that somebody else is asked to take, and until when it is ours."""

    letter: Letter
    until: float


class Undertaker:
    """Buries what is dead."""

    def __init__(self, database: Database, clock: Clock, hooks: DeadLetterHooks) -> None:
        self._database = database
        self._clock = clock
        self._hooks = hooks
        self._resting: dict[int, float] = {}

    def bury_all(self) -> int:
        """Bury as :meth:`DataDriver.bury` promises."""
        now = self._clock.time()
        for (queue,) in self._database.rows(_SQL["dying"], (now,)):
            settle(self._database, queue, now, _SETTLING)
            with self._database.write as connection:
                connection.execute(_SQL["expect_next"], (queue,))
        return sum(self._bury(queue, _MOST) for (queue,) in self._database.rows(_SQL["queues"]))

    def dead_letter(self, queue: int) -> None:
        """Bury some of what is dead in a queue, by the way: what that comes to is no concern of the caller's."""
        if self._resting.get(queue, 0) > time.monotonic():
            return
        try:
            self._bury(queue, _BY_THE_WAY)
        except KombuPoolError as error:
            logger.warning("What is dead in a queue could not be buried, and waits for the next time: %s", error)

    def _bury(self, queue: int, most: int) -> int:
        if not self._is_worth_it(queue):
            return 0
        total, more = 0, True
        while more and total < most:
            with self._database.write as connection:
                mourner = _mourner(queue, connection.execute(_MOURNER, (queue, self._clock.time())).fetchone())
                here, parked = self._bury_here(connection, mourner) if mourner else (0, None)
            if here:
                self._database.ring()
            # Not within a transaction: the other store may be waiting for this one.
            abroad = mourner is not None and parked is not None and self._forward(mourner, parked)
            total, more = total + here + abroad, abroad or here == _CHUNK
        return total

    def _is_worth_it(self, queue: int) -> bool:
        """Tell whether anything can be buried, so that what waits for others costs no transaction."""
        mourner = _mourner(queue, self._database.row(_MOURNER, (queue, self._clock.time())))
        if mourner is None or not mourner.policy.has_dlq:
            return False
        return mourner.policy.dead_letter_exchange is None or self._hooks.publish is not None

    def _bury_here(self, connection: sqlite3.Connection, mourner: Mourner) -> tuple[int, Parked | None]:
        """Move letters within this store up to one for another, which is parked; return how many, and that one."""
        now = self._clock.time()
        for buried in range(_CHUNK):
            row = connection.execute(_FIRST, (mourner.number,)).fetchone()
            if row is None:
                return buried, None
            letter = deadletters.letter_of(mourner.name, mourner.policy, row, now)
            if not deadletters.is_local(connection, letter, mourner.project):
                connection.execute(_SQL["park"], (now + RESERVATION_TTL, row[0]))
                return buried, Parked(letter, now + RESERVATION_TTL)
            deadletters.keep(self._database, connection, letter, mourner.project)
            connection.execute(_FORGET, row[:1])
        return _CHUNK, None

    def _forward(self, mourner: Mourner, parked: Parked) -> bool:
        """Hand a letter over; return whether it is buried now, and others may follow."""
        letter, place = parked.letter, parked.letter.row[0]
        delivery = deadletters.forward(self._hooks, mourner.policy, letter, mourner.project)
        with self._database.write as connection:
            if delivery is DeadLetterOutcome.UNREACHABLE:
                connection.execute(_SQL["unpark"], (place, parked.until))
                self._resting[mourner.number] = time.monotonic() + RESTING
                return False
            there = connection.execute(_FORGET, (place,)).rowcount
            if there and delivery is DeadLetterOutcome.UNROUTABLE and letter.unreadable:
                letter.target = UNREADABLE_QUEUE
                deadletters.keep(self._database, connection, letter, mourner.project)
        self._resting.pop(mourner.number, None)
        return True


def _mourner(queue: int, row: tuple[str, str, bytes] | None) -> Mourner | None:
    return None if row is None else Mourner(queue, project_of(row[0]), row[1], policy_of(row[2]))
