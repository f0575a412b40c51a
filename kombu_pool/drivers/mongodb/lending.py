"""How messages leave the line: to a claim, to a pop, or aside when they were lent too often or cannot be read."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.mongodb import layout, states
from kombu_pool.drivers.mongodb.acknowledging import acknowledge
from kombu_pool.drivers.mongodb.store import place
from kombu_pool.drivers.mongodb.taking import Lending, Taker
from kombu_pool.errors import CorruptRecord
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterReason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kombu_pool.drivers.mongodb.deadletters import DeadLetters
    from kombu_pool.drivers.mongodb.looking import Look, Lookout
    from kombu_pool.model import ClaimMetadata, Message, Project

#: Claims of which nobody heard that are remembered.
_DOUBTFUL = 100


class Lender:
    """Lends messages, or gives them away."""

    def __init__(self, store: Lookout, dead_letters: DeadLetters) -> None:
        self._store = store
        self._dead_letters = dead_letters
        self._taker = Taker(store)
        self._doubtful: deque[tuple[Project, str, str]] = deque(maxlen=_DOUBTFUL)

    def lend(
        self, queue: str, metadata: ClaimMetadata, limit: int, project: Project
    ) -> tuple[str | None, Sequence[Message]]:
        """Lend as ``ClaimController.create`` promises."""
        lending = self._draw(queue, project, limit, metadata["ttl"], metadata["grace"])
        return _answer(lending)

    def ack_and_claim(
        self, queue: str, held: Sequence[tuple[str, str]], metadata: ClaimMetadata, limit: int, project: Project
    ) -> tuple[Sequence[tuple[str, str]], str | None, Sequence[Message]]:
        """Delete and lend as ``ClaimController.ack_and_claim`` promises: at the same time, as neither needs the other."""
        if not held or not limit:
            refused = acknowledge(self._store, project, queue, held, self._store.now()) if held else []
            return refused, *self.lend(queue, metadata, limit, project)
        with self._store.link.beside(lambda: acknowledge(self._store, project, queue, held, self._store.now())) as done:
            lending = self._draw(queue, project, limit, metadata["ttl"], metadata["grace"])
            with self._doubting(project, queue, lending.claim):
                refused = done.result()
        return refused, *_answer(lending)

    def pop(self, queue: str, limit: int, project: Project) -> Sequence[Message]:
        """Give away as ``MessageController.pop`` promises: what could not be read is not given away unseen."""
        lending = self._draw(queue, project, limit, RESERVATION_TTL, None)
        held = [(message["id"], lending.claim) for message in lending.messages]
        with self._doubting(project, queue, lending.claim):
            refused = set(acknowledge(self._store, project, queue, held, self._store.now())) if held else set()
        return [message for message in lending.messages if (message["id"], lending.claim) not in refused]

    def _draw(self, queue: str, project: Project, limit: int, ttl: float, grace: float | None) -> Lending:
        self._give_back()
        lending = Lending(queue, project, layout.new_claim(), ttl, grace, limit)
        with self._doubting(project, queue, lending.claim):
            while lending.missing > 0 and self._turn(lending):
                pass
        return lending

    @contextmanager
    def _doubting(self, project: Project, queue: str, claim: str) -> Iterator[None]:
        """Let the next claim free what this one holds if the block fails: it may have been lent, to nobody."""
        try:
            yield
        except BaseException:
            # Whatever it was: lost answers, too few members in time, a signal's handler.
            self._doubtful.append((project, queue, claim))
            raise

    def _turn(self, lending: Lending) -> bool:
        """Lend once; return whether there may be more."""
        now, missing = self._store.now(), lending.missing
        look = self._store.look(lending.project, lending.queue, now, missing)
        if look is None:
            return False
        if look.has_dead and not lending.has_tended:
            lending.has_tended = True
            self._dead_letters.tend(look.queue)
        if not look.first:
            return False
        if overdue := _overdue(look, lending):
            lending.unwanted.update(overdue)
            self._dead_letters.condemn(look.queue, overdue)
            return True
        stored = self._taker.take(lending, look, now)
        look.frontier.lent(len(stored), now)
        look.frontier.awaits(now + lending.ttl)
        self._store.ledger.lent(lending.claim, (found["_id"].hex() for found in stored), now + lending.ttl)
        if unreadable := self._hand_out(lending, stored, now):
            where = {**look.queue.scope, "_id": {"$in": unreadable}, "s": layout.WAITING, "c": lending.claim}
            self._dead_letters.die(where, DeadLetterReason.UNREADABLE, n={"$add": ["$n", -1]})
            self._dead_letters.attempt(look.queue)
        return bool(unreadable) or len(look.first) == missing

    def _hand_out(self, lending: Lending, stored: Sequence[dict[str, Any]], now: float) -> list[bytes]:
        """Add what was lent to the messages; return the ids of what cannot be read."""
        unreadable = []
        for found in stored:
            try:
                lending.messages.append(layout.shown(found, now))
            except CorruptRecord:
                unreadable.append(found["_id"])
        return unreadable

    def _give_back(self) -> None:
        """Free what claims hold of which nobody heard."""
        while True:
            try:
                project, queue, claim = self._doubtful.popleft()
            except IndexError:
                return
            with self._doubting(project, queue, claim):
                where = {**place(project, queue), **states.claimed(self._store.now(), claim)}
                self._store.messages.update_many(where, states.RELEASED, hint=states.BY_CLAIM)
                self._store.overtaken(project, queue)


def _answer(lending: Lending) -> tuple[str | None, Sequence[Message]]:
    return (lending.claim, lending.messages) if lending.messages else (None, [])


def _overdue(look: Look, lending: Lending) -> list[bytes]:
    most = look.queue.policy.max_claim_count
    if not most:
        return []
    return [found["_id"] for found in look.first if found["n"] >= most and found["_id"] not in lending.unwanted]
