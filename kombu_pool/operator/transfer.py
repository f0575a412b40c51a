"""The transfer of what waits in a queue to another broker, of whatever transport."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import MessageDoesNotExist, MessageIsClaimed
from kombu_pool.operator.messages import pages
from kombu_pool.operator.queue_details import show_queue
from kombu_pool.storage.dead_letters import RESERVATION_TTL
from kombu_pool.storage.redrive import claims_by_id
from kombu_pool.transport.publish.envelope import enveloped
from kombu_pool.transport.publish.revocation import MARKER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kombu_pool.model import ClaimMetadata, Message, Project
    from kombu_pool.operator.other_broker import OtherBroker
    from kombu_pool.pooling import DataDriver

#: Messages that are claimed together. Each is deleted before the next one is published.
BATCH_SIZE = 50
#: Delayed messages that are due sooner, in seconds, stay: a worker may claim one between its publish and its deletion.
DUE_SOON = 5.0
#: Why messages stay.
CLAIMED, SOON, NO_TASK, REVOKED = "held by consumers", "due within 5 s", "delayed, and no task", "cancelled"
_CLAIM: ClaimMetadata = {"ttl": RESERVATION_TTL, "grace": 0}


@dataclass
class TransferResult:
    """How many messages were ready and delayed of those that were published to the other broker and deleted here.

    ``remaining``: those that stay, by the reason. ``duplicated``: those that were also delivered here meanwhile.
    ``total``: the messages that waited at first.
    """

    ready: int = 0
    delayed: int = 0
    remaining: dict[str, int] = field(default_factory=dict)
    duplicated: int = 0
    total: int = 0

    @property
    def moved(self) -> int:
        """The number of messages that are with the other broker now."""
        return self.ready + self.delayed

    def leave(self, reason: str, count: int = 1) -> None:
        """Count messages that stay."""
        if count:
            self.remaining[reason] = self.remaining.get(reason, 0) + count


@dataclass
class Transfer:
    """Publishes the messages of a queue that no consumer holds to another broker, one by one, and deletes each here.

    A message is deleted once the other broker has confirmed it. So a transfer that was broken off goes on where it
    ended, and at most one message is with both brokers.
    """

    store: DataDriver
    project: Project
    queue: str
    other: OtherBroker
    result: TransferResult = field(default_factory=TransferResult)

    def run(self, progress: Callable[[TransferResult], bool | None] | None = None) -> TransferResult:
        """Transfer the delayed messages, then the ready ones in their order, until ``progress`` returns True.

        ``progress`` is called after each delayed message, and after each batch of ready ones.

        Raises:
            QueueDoesNotExist: the queue does not exist.
            KombuPoolError: a store or the other broker does not answer, or refuses.
        """
        details = show_queue(self.store, self.project, self.queue)
        self.other.declare(self.queue, details.declared)
        # Free and delayed ones together: no other count is exact in every store.
        present = self.store.queue_controller.stats(self.queue, self.project)["messages"]["free"]
        self.result.total = present
        for steps in (self._delayed(present), self._ready(present)):
            for _ in steps:
                if progress is not None and progress(self.result):
                    return self.result
        row = show_queue(self.store, self.project, self.queue).row
        self.result.leave(CLAIMED, row.claimed or 0)
        return self.result

    def _delayed(self, present: int) -> Iterator[None]:
        messages = self.store.message_controller
        due = dict(messages.due_times(self.queue, self.project, present))
        ids = iter(due)
        while batch := list(islice(ids, BATCH_SIZE)):
            for message in messages.bulk_get(self.queue, batch, self.project):
                self._transfer_delayed(message, due[message["id"]])
                yield

    def _transfer_delayed(self, message: Message, due: float | None) -> None:
        headers = enveloped(message["body"], self.queue)["headers"]
        if MARKER in headers:
            self.result.leave(REVOKED)
        elif "task" not in headers:
            self.result.leave(NO_TASK)
        elif due is not None and due - time.time() < DUE_SOON:
            self.result.leave(SOON)
        else:
            self._publish(message, due)
            try:
                self.store.message_controller.delete(self.queue, message["id"], self.project)
                self.result.delayed += 1
            except (MessageIsClaimed, MessageDoesNotExist):
                self.result.duplicated += 1

    def _ready(self, present: int) -> Iterator[None]:
        """Transfer as many ready messages as there were: producers may add more than this takes away."""
        for page in pages(self.store, self.project, self.queue, present):
            for start in range(0, len(page), BATCH_SIZE):
                self._transfer_ready(page[start : start + BATCH_SIZE])
                yield

    def _transfer_ready(self, batch: Sequence[Message]) -> None:
        chosen = [message["id"] for message in batch if not self._is_revoked(message)]
        self.result.leave(REVOKED, len(batch) - len(chosen))
        claims = self.store.claim_controller
        for claim, claimed in claims_by_id(claims, self.queue, chosen, _CLAIM, self.project):
            self._transfer_claimed(claim, claimed)

    def _transfer_claimed(self, claim: str, claimed: Sequence[Message]) -> None:
        held = [message["id"] for message in claimed]
        try:
            for message in claimed:
                self._publish(message, None)
                held.remove(message["id"])
                self._delete_claimed(message["id"], claim)
        finally:
            # Of a batch that was broken off, what was not published is free again.
            if held:
                self.store.claim_controller.release(self.queue, claim, held, self.project)

    def _is_revoked(self, message: Message) -> bool:
        return MARKER in enveloped(message["body"], self.queue)["headers"]

    def _delete_claimed(self, message_id: str, claim: str) -> None:
        refused = self.store.message_controller.delete_claimed(self.queue, [(message_id, claim)], self.project)
        if refused:
            self.result.duplicated += 1
        else:
            self.result.ready += 1

    def _publish(self, message: Message, due: float | None) -> None:
        self.other.publish(self.queue, enveloped(message["body"], self.queue), due, _rest_of_life(message))


def _rest_of_life(message: Message) -> float | None:
    """Return the seconds until a message expires; None if it never does."""
    ttl: Any = message["ttl"]
    return max(0.001, ttl - message["age"]) if ttl else None
