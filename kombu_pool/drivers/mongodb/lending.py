"""How messages leave the line: to a claim, to a pop, or aside when they were lent too often or cannot be read."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument
from pymongo.errors import AutoReconnect

from kombu_pool.drivers.mongodb import layout, states
from kombu_pool.drivers.mongodb.acknowledging import acknowledge
from kombu_pool.drivers.mongodb.store import AT_ONCE, first_in_line, place
from kombu_pool.errors import ConnectionError, CorruptRecord  # noqa: A004 - Zaqar's name for it
from kombu_pool.storage.dead_letters import PARKING, UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.deadletters import DeadLetters
    from kombu_pool.drivers.mongodb.store import Look, Queue, Store
    from kombu_pool.model import ClaimMetadata, Message, Project

#: Claims whose answer got lost that are remembered.
_DOUBTFUL = 100
#: How many times as many messages as wanted somebody looks at to whom others were quicker.
_WIDER = 8


@dataclass
class Lending:
    """One call that lends: under which claim, for how long, how many, and what was lent so far."""

    queue: str
    project: Project
    claim: str
    ttl: float
    #: None: the messages expire when they would have.
    grace: float | None
    limit: int
    messages: list[Message] = field(default_factory=list)
    #: Messages that should be dead-lettered but that no store takes: lent all the same.
    unwanted: set[bytes] = field(default_factory=set)
    #: Whether what was dead has been seen to.
    has_tended: bool = False

    @property
    def missing(self) -> int:
        """How many to lend in the next turn."""
        return min(self.limit - len(self.messages), AT_ONCE)


class Lender:
    """Lends messages, or gives them away."""

    def __init__(self, store: Store, dead_letters: DeadLetters) -> None:
        self._store = store
        self._dead_letters = dead_letters
        self._doubtful: deque[tuple[Project, str, str]] = deque(maxlen=_DOUBTFUL)

    def lend(
        self, queue: str, metadata: ClaimMetadata, limit: int, project: Project
    ) -> tuple[str | None, Sequence[Message]]:
        """Lend as ``ClaimController.create`` promises."""
        lending = self._draw(queue, project, limit, metadata["ttl"], metadata["grace"])
        return (lending.claim, lending.messages) if lending.messages else (None, [])

    def swap(
        self, queue: str, held: Sequence[tuple[str, str]], metadata: ClaimMetadata, limit: int, project: Project
    ) -> tuple[Sequence[tuple[str, str]], str | None, Sequence[Message]]:
        """Delete and lend as ``ClaimController.swap`` promises."""
        refused = acknowledge(self._store, project, queue, held, self._store.now())
        return refused, *self.lend(queue, metadata, limit, project)

    def pop(self, queue: str, limit: int, project: Project) -> Sequence[Message]:
        """Give away as ``MessageController.pop`` promises: what could not be read is not given away unseen."""
        lending = self._draw(queue, project, limit, PARKING, None)
        held = [(message["id"], lending.claim) for message in lending.messages]
        refused = set(acknowledge(self._store, project, queue, held, self._store.now())) if held else set()
        return [message for message in lending.messages if (message["id"], lending.claim) not in refused]

    def _draw(self, queue: str, project: Project, limit: int, ttl: float, grace: float | None) -> Lending:
        self._give_back()
        lending = Lending(queue, project, layout.new_claim(), ttl, grace, limit)
        try:
            while lending.missing > 0 and self._turn(lending):
                pass
        except (AutoReconnect, ConnectionError):
            # Some may have been lent all the same, to nobody.
            self._doubtful.append((project, queue, lending.claim))
            raise
        return lending

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
        stored = self._take(lending, look.queue, [found["_id"] for found in look.first], now)
        if unreadable := self._hand_out(lending, stored, now):
            where = {**look.queue.scope, "_id": {"$in": unreadable}, "s": layout.WAITING, "c": lending.claim}
            self._dead_letters.die(where, UNREADABLE, n={"$add": ["$n", -1]})
            self._dead_letters.attempt(look.queue)
        return bool(unreadable) or len(look.first) == missing

    def _take(self, lending: Lending, queue: Queue, ids: list[bytes], now: float) -> list[dict[str, Any]]:
        """Let the claim hold the messages, or, when others were quicker, some of the next; return what it got."""
        if len(ids) == 1 and not queue.policy.max_claim_count:
            return self._take_one(lending, queue, now)
        had = {bytes.fromhex(message["id"]) for message in lending.messages}
        taken = self._mark(lending, queue, ids, now)
        if taken < len(ids):
            others = self._apart(queue, len(ids) - taken, now)
            taken += self._mark(lending, queue, others, now) if others else 0
        if not taken:
            return self._take_one(lending, queue, now)
        where = {**queue.scope, "s": layout.WAITING, "c": lending.claim}
        stored = [found for found in self._store.messages.find(where, batch_size=AT_ONCE) if found["_id"] not in had]
        return sorted(stored, key=lambda found: bytes(found["_id"]))

    def _mark(self, lending: Lending, queue: Queue, ids: list[bytes], now: float) -> int:
        where = {**queue.scope, **states.in_line(now), "_id": {"$in": ids}}
        held = states.held(lending.claim, now, lending.ttl, lending.grace, lent=True)
        try:
            return self._store.messages.update_many(where, held).modified_count
        except AutoReconnect:
            # What the first try took is in line no more: the second one takes the rest, and all bear the claim.
            self._store.messages.update_many(where, held)
            return len(ids)

    def _apart(self, queue: Queue, count: int, now: float) -> list[bytes]:
        """Return free messages that others are not likely to want at the same time."""
        most = queue.policy.max_claim_count
        pipeline = first_in_line(queue.scope, now, _WIDER * count)
        found = [one["_id"] for one in self._store.messages.aggregate(pipeline) if not most or one["n"] < most]
        start = random.randrange(max(1, len(found) - count + 1))  # noqa: S311 - anything that differs will do
        return found[start : start + count]

    def _take_one(self, lending: Lending, queue: Queue, now: float) -> list[dict[str, Any]]:
        """Take the first that the server can get hold of: nobody goes away empty while there is something."""
        most = queue.policy.max_claim_count
        where = {**queue.scope, **states.in_line(now), **({"n": {"$lt": most}} if most else {})}
        held = states.held(lending.claim, now, lending.ttl, lending.grace, lent=True)
        found = self._store.messages.find_one_and_update(
            where, held, sort=[*states.IN_ORDER], return_document=ReturnDocument.AFTER
        )
        return [] if found is None else [found]

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
        """Free what claims hold whose answer got lost."""
        while True:
            try:
                lost = project, queue, claim = self._doubtful.popleft()
            except IndexError:
                return
            try:
                where = {**place(project, queue), **states.claimed(self._store.now(), claim)}
                self._store.messages.update_many(where, states.RELEASED)
            except (AutoReconnect, ConnectionError):
                self._doubtful.append(lost)
                raise


def _overdue(look: Look, lending: Lending) -> list[bytes]:
    most = look.queue.policy.max_claim_count
    if not most:
        return []
    return [found["_id"] for found in look.first if found["n"] >= most and found["_id"] not in lending.unwanted]
