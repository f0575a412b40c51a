"""Dead letters: messages that were lent too often, or cannot be read, on their way to a queue of their own."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from kombu_pool import records
from kombu_pool.drivers.redis import layout
from kombu_pool.drivers.redis.acknowledging import ACK
from kombu_pool.drivers.redis.messages import POST
from kombu_pool.drivers.redis.queues import QueueController
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import CorruptRecord, KombuPoolError, StoreFull
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.policy import policy_of, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import DeadLetter, NewMessage, Project
    from kombu_pool.storage import DataDriver
    from kombu_pool.storage.policy import Policy

LENT_TOO_OFTEN = "max_claim_count"
UNREADABLE = "unreadable"

_BURY = script("bury")
_RELEASE = script("release", writes=False)


@dataclass(frozen=True)
class Aside:
    """A message that a claim of ours holds and that is to be dead-lettered: with an error, for it cannot be read."""

    message: bytes
    stored: bytes
    count: int
    expires: float | None
    error: CorruptRecord | None


class Letter(NamedTuple):
    """What becomes of it in the queue ``target``; ``ttl`` 0 is for ever."""

    message: bytes
    target: str
    created: float
    client: str | None
    record: bytes
    header: DeadLetter
    ttl: float
    expires: float | None

    def stored(self) -> bytes:
        """Return its whole record."""
        rest = layout.pack(self.ttl, self.client, self.header, self.record)
        return struct.pack(">d", self.created) + rest


class DeadLetters:
    """Delivers dead letters."""

    def __init__(self, store: Store, driver: DataDriver) -> None:
        self._store = store
        self._driver = driver
        self._queues = QueueController(store)

    def put_aside(
        self, queue: str, project: Project, claim: bytes, messages: Sequence[Aside], now: float
    ) -> list[bytes]:
        """Dead-letter messages that the claim holds; return those that nobody takes, which are free again.

        What cannot be read is taken in any case: by :data:`UNREADABLE_QUEUE` in the end.
        """
        keys = self._store.keys(project, queue)
        metadata = self._store.link.command("HGET", keys.queue, "metadata")
        if metadata is None:
            return []
        unwanted = []
        for aside in messages:
            letter = _letter(queue, policy_of(metadata), aside, now)
            if self._deliver(queue, project, claim, letter):
                continue
            if letter.header["reason"] == UNREADABLE:
                self._queues.create(UNREADABLE_QUEUE, {}, project)
                self._bury(queue, project, claim, letter._replace(target=UNREADABLE_QUEUE))
            else:
                self._store.run(_RELEASE, keys.settling, claim, letter.message, 0)
                unwanted.append(letter.message)
        return unwanted

    def _deliver(self, queue: str, project: Project, claim: bytes, letter: Letter) -> bool:
        if self._bury(queue, project, claim, letter):
            return True
        if not self._forward(letter, project):
            return False
        self._forget(queue, project, claim, letter)
        return True

    def _bury(self, queue: str, project: Project, claim: bytes, letter: Letter) -> bool:
        """Move the message to its queue in this store; return False when that is not here."""
        source, target = self._store.keys(project, queue), self._store.keys(project, letter.target)
        expires = "" if letter.expires is None else letter.expires
        if self._store.link.is_cluster:
            return self._bury_apart(queue, project, claim, letter)
        return (
            self._store.run(
                *(_BURY, (*source.settling, target.queue, target.records, target.free, target.expiring, target.bell)),
                *(claim, letter.message, letter.stored(), expires),
            )
            is not None
        )

    def _bury_apart(self, queue: str, project: Project, claim: bytes, letter: Letter) -> bool:
        """Post the letter and then remove the message: no script may use the keys of two queues of a cluster."""
        left = 0 if letter.expires is None else max(0.001, letter.expires - letter.header["time"])
        asked = f"{255 - letter.message[0]}:{left!r}:0"
        target = self._store.keys(project, letter.target)
        try:
            posted = self._store.link.call(POST, target.posting, self._store.now(), asked, letter.stored()[8:])
        except StoreFull:
            # Another node's want of memory must not keep the messages of this one from being lent.
            return False
        if posted is None:
            return False
        self._forget(queue, project, claim, letter)
        return True

    def _forget(self, queue: str, project: Project, claim: bytes, letter: Letter) -> None:
        keys = self._store.keys(project, queue)
        self._store.link.call(ACK, keys.acking, self._store.now(), claim, letter.message)

    def _forward(self, letter: Letter, project: Project) -> bool:
        """Hand a letter to another store; return whether it is there now."""
        forward = self._driver.forward_dead_letter
        if forward is None:
            return False
        try:
            return forward(project, letter.target, _posted(letter))
        except KombuPoolError:
            # The queue it should go to is out of reach: that must not keep this queue's messages from being lent.
            return False


def _letter(queue: str, policy: Policy, aside: Aside, now: float) -> Letter:
    error = aside.error
    try:
        stored = layout.unpack(aside.stored)
        records.decode(stored.record)
    except CorruptRecord as corrupt:
        error = error or corrupt
        stored = _salvaged(aside.stored, now)
    target, reason, record = policy.dead_letter_queue, LENT_TOO_OFTEN, stored.record
    if error is not None or target is None:
        target, reason = target or UNREADABLE_QUEUE, UNREADABLE
        record = write({"record": record, "error": str(error)})
    header: DeadLetter = {"queue": layout.storable(queue), "reason": reason, "time": now, "count": aside.count}
    ttl = policy.dead_letter_ttl
    expires = now + ttl if ttl else aside.expires
    return Letter(aside.message, target, stored.created, stored.client, record, header, ttl or stored.ttl, expires)


def _salvaged(stored: bytes, now: float) -> layout.Stored:
    """Return what can be told of a record that cannot be decoded."""
    try:
        return layout.unpack(stored)
    except CorruptRecord:
        return layout.Stored(now, 0, None, None, stored)


def _posted(letter: Letter) -> NewMessage:
    return {
        "ttl": None if letter.expires is None else letter.expires - letter.header["time"],
        "body": msgspec.msgpack.decode(letter.record),
        "delay": 0,
        "priority": 255 - letter.message[0],
        "dead_letter": letter.header,
    }
