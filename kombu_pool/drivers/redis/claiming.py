"""How messages leave the line: to a claim, to a pop, or aside when they were lent too often or cannot be read."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.dead_letter_records import Aside
from kombu_pool.drivers.redis.deletion import ACK, Acknowledgement
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.drivers.redis.store import AGAIN
from kombu_pool.errors import ConnectionError, CorruptRecord  # noqa: A004 - Zaqar's name for it
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.redis.burying import Burying
    from kombu_pool.drivers.redis.dead_letters import DeadLetters
    from kombu_pool.drivers.redis.keys import KeySets
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import ClaimMetadata, Message, Project

_CLAIM = script("claim", writes=False)
_RELEASE = script("release", writes=False)
#: Messages that one run of the script lends at the most: Redis serves nobody else meanwhile.
_AT_ONCE = 1000
#: Claims whose answer got lost that are remembered.
_DOUBTFUL = 100


@dataclass
class Lending:
    """One call that lends: under which claim, for how long, how many, and what was lent so far."""

    queue: str
    project: Project
    keys: KeySets
    claim: bytes
    ttl: float
    #: None: the messages expire when they would have.
    grace: float | None
    limit: int
    messages: list[Message] = field(default_factory=list)
    #: Messages that should be dead-lettered but that no store takes: lent all the same.
    unwanted: list[bytes] = field(default_factory=list)
    #: What the script that acknowledges left.
    left: Sequence[bytes] = ()
    #: Whether something dead was seen that is to be buried.
    to_bury: bool = False

    @property
    def missing(self) -> int:
        """How many to lend in the next run."""
        return min(self.limit - len(self.messages), _AT_ONCE)


class Lender:
    """Lends messages, or gives them away."""

    def __init__(self, store: Store, dead_letters: DeadLetters, burying: Burying) -> None:
        self._store = store
        self._dead_letters = dead_letters
        self._burying = burying
        self._doubtful: deque[tuple[KeySets, bytes]] = deque(maxlen=_DOUBTFUL)

    def lend(
        self, queue: str, metadata: ClaimMetadata, limit: int, project: Project
    ) -> tuple[str | None, Sequence[Message]]:
        """Lend as ``ClaimController.create`` promises."""
        lending = self._draw(queue, project, limit, metadata["ttl"], metadata["grace"])
        return (lending.claim.hex(), lending.messages) if lending.messages else (None, [])

    def ack_and_claim(
        self, queue: str, held: Sequence[tuple[str, str]], metadata: ClaimMetadata, limit: int, project: Project
    ) -> tuple[Sequence[tuple[str, str]], str | None, Sequence[Message]]:
        """Delete and lend as ``ClaimController.ack_and_claim`` promises."""
        done = Acknowledgement(held)
        lending = self._draw(queue, project, limit, metadata["ttl"], metadata["grace"], done)
        claim_id = lending.claim.hex() if lending.messages else None
        return done.refused(lending.left) if done.arguments else held, claim_id, lending.messages

    def pop(self, queue: str, limit: int, project: Project) -> Sequence[Message]:
        """Give away as ``MessageController.pop`` promises: what could not be read is not given away unseen."""
        lending = self._draw(queue, project, limit, RESERVATION_TTL, None)
        if not lending.messages:
            return []
        ids = b"".join(bytes.fromhex(message["id"]) for message in lending.messages)
        (left,) = self._store.link.call(ACK, lending.keys.acking, self._store.now(), lending.claim, ids)
        missed = set(codec.names(left))
        return [message for message in lending.messages if message["id"] not in missed]

    def _draw(
        self,
        queue: str,
        project: Project,
        limit: int,
        ttl: float,
        grace: float | None,
        done: Acknowledgement | None = None,
    ) -> Lending:
        if self._doubtful:
            self._give_back()
        keys = self._store.keys(project, queue)
        lending = Lending(queue, project, keys, os.urandom(codec.ID_BYTES), ttl, grace, limit)
        try:
            more = self._run(lending, done)
            while more and lending.missing > 0:
                more = self._run(lending)
        except ConnectionError:
            # It may have been lent all the same, to nobody.
            self._doubtful.append((keys, lending.claim))
            raise
        if lending.to_bury:
            self._burying.bury_besides(queue, project)
        return lending

    def _run(self, lending: Lending, done: Acknowledgement | None = None) -> bool:
        """Lend once, with what is done told in the same breath; return whether there may be more."""
        missing, parking = lending.missing, os.urandom(codec.ID_BYTES)
        answer = self._ask(lending, done, parking)
        if answer is None:
            return False
        ids, marks, stored, parked, parked_marks, parked_records, expiries, now, *to_bury = answer
        lending.to_bury = lending.to_bury or bool(to_bury)
        unreadable = self._hand_out(lending, codec.split(ids), marks, stored, float(now))
        overdue = [
            Aside(message, parked_records[index], codec.mark(parked_marks, index)[0], _time(expiries[index]))
            for index, message in enumerate(codec.split(parked))
        ]
        if overdue:
            kept = self._dead_letters.put_aside(lending.queue, lending.project, parking, overdue, float(now))
            lending.unwanted += kept
        if unreadable:
            self._dead_letters.put_aside(lending.queue, lending.project, lending.claim, unreadable, float(now))
        return bool(overdue or unreadable) or len(stored) == missing

    def _ask(self, lending: Lending, done: Acknowledgement | None, parking: bytes) -> Any:
        """Return the claim script's answer; what the other one leaves is kept in ``lending.left``."""
        store, keys = self._store, lending.keys
        grace = "" if lending.grace is None else lending.grace
        unwanted = b"".join(lending.unwanted)
        arguments = (lending.claim, lending.ttl, grace, lending.missing, parking, RESERVATION_TTL, unwanted)
        if done is None or not done.arguments:
            return store.run(_CLAIM, keys, *arguments) if lending.missing > 0 else None
        now = store.now()
        acknowledging = (ACK, keys.acking, (now, *done.arguments))
        if lending.missing <= 0:
            (lending.left,) = store.link.together([acknowledging])
            return None
        lending.left, answer = store.link.together([acknowledging, (_CLAIM, keys.states, (now, *arguments))])
        return store.run(_CLAIM, keys, *arguments) if answer in AGAIN else answer

    def _hand_out(
        self, lending: Lending, ids: list[bytes], marks: Sequence[Any], stored: Sequence[bytes], now: float
    ) -> list[Aside]:
        """Add what was lent to the messages; return what of it cannot be read."""
        claim_id = lending.claim.hex()
        unreadable = []
        for index, message in enumerate(ids):
            count = codec.mark(marks, index)[0] if marks else 0
            try:
                lending.messages.append(codec.shown(message, stored[index], claim_id, count + 1, now))
            except CorruptRecord as error:
                unreadable.append(Aside(message, stored[index], count, None, DeadLetterReason.DELIVERY_LIMIT, error))
        return unreadable

    def _give_back(self) -> None:
        while self._doubtful:
            keys, claim = self._doubtful.popleft()
            try:
                self._store.run(_RELEASE, keys, claim, b"", 1)
            except ConnectionError:
                self._doubtful.append((keys, claim))
                raise


def _time(score: bytes | None) -> float | None:
    return None if score is None else float(score)
