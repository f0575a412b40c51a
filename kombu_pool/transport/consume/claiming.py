"""Claims messages for a queue's consumers, with the acknowledgements that the same request can carry."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kombu_pool.clock import SYSTEM_CLOCK
from kombu_pool.errors import KombuPoolError, QueueDoesNotExist
from kombu_pool.model import MAX_EXACT_AGE, Age
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.transport.consume.interrupted import begin_claim, end_claim
from kombu_pool.transport.consume.leases import Lease
from kombu_pool.transport.consume.settlement import pairs_of
from kombu_pool.transport.zero_ttl import is_expired

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kombu_pool.model import Message, Project
    from kombu_pool.storage import DataDriver, Watch
    from kombu_pool.transport.consume.consumers import QueueConsumers
    from kombu_pool.transport.consume.prefetch import PrefetchWindow
    from kombu_pool.transport.consume.renewal import Renewal
    from kombu_pool.transport.consume.settlement import Batch, Settlement

#: Head start of other consumers at a message without time to live, in seconds: one that waited is about to claim it.
_HEAD_START = 0.05


@dataclass(eq=False)
class Claimer:
    """Claims for the consumers of one connection."""

    data: DataDriver
    renewal: Renewal
    settlement: Settlement
    project: Project
    #: Takes what was claimed and returns True, or False if it is no longer wanted.
    put: Callable[[QueueConsumers, Lease, Sequence[Message]], bool]
    #: Called when the life of the queue that consumers consume is over.
    on_refusal: Callable[[QueueConsumers], None]

    def claim(
        self, consumers: QueueConsumers, limit: int, freed_by_ack: int = 0, before_put: Callable[[], None] | None = None
    ) -> int | None:
        """Claim up to ``limit`` messages for consumers of a queue, and return how many came. From any thread.

        ``freed_by_ack`` of the limit are slots of acknowledged messages, which this request settles. Those that another
        request settles meanwhile are not free yet: if no other slot is, nothing is claimed and the answer is None.
        ``before_put`` is called when messages came that are not yet handed out.
        """
        with consumers.claiming:
            token = object()
            try:
                begin_claim(token, (self.project, consumers.queue))
                return self._claim(consumers, limit, freed_by_ack, before_put)
            except BaseException as error:
                self._suspect(error, consumers.queue)
                raise
            finally:
                end_claim(token, None)

    def _suspect(self, error: BaseException, queue: str) -> None:
        """Have a claim that an exception of a signal handler broke off ended; a store's own errors are its answers."""
        if not isinstance(error, KombuPoolError):
            self.settlement.suspect((self.project, queue))

    def _claim(
        self, consumers: QueueConsumers, limit: int, freed_by_ack: int, before_put: Callable[[], None] | None
    ) -> int | None:
        settlement, begun = self.settlement, SYSTEM_CLOCK.elapsed()
        done: Batch = {}
        try:
            settlement.begin_flush(self._pending_leases(consumers), done)
            if freed_by_ack:
                limit = max(0, limit - max(0, freed_by_ack - sum(map(len, done.values()))))
                if not limit and not done:
                    return None
            refused, claim_id, messages = self.data.claim_controller.ack_and_claim(
                consumers.queue,
                pairs_of(done),
                self.renewal.metadata,
                self.project,
                limit,
                incarnation=consumers.incarnation,
            )
        except QueueDoesNotExist:
            settlement.flush_failed(done)
            self.on_refusal(consumers)
            return 0
        except BaseException:
            # Also for an exception of a signal handler: an unsent acknowledgement would run its message again.
            settlement.flush_failed(done)
            raise
        settlement.flushed(done, refused)
        if claim_id is None or not messages:
            return 0 if limit else None
        lease = self.lease(consumers.queue, claim_id, messages, begun, None if consumers.no_ack else consumers.window)
        try:
            if before_put is not None:
                before_put()
        finally:
            is_put = self._put(consumers, lease, messages)
        return len(messages) if is_put else 0

    def _put(self, consumers: QueueConsumers, lease: Lease, messages: Sequence[Message]) -> bool:
        """Hand messages out, but those that expired, or release them if no consumer is left."""
        if expired := _expired_ids(consumers, messages):
            self.settlement.reject(lease, expired, DeadLetterReason.EXPIRED)
            messages = [message for message in messages if message["id"] not in expired]
        consumers.window.check_full()
        is_put = self.put(consumers, lease, messages)
        if not is_put:
            self.settlement.release(lease, [message["id"] for message in messages])
        return is_put

    def claim_one(self, queue: str, window: PrefetchWindow | None) -> tuple[Lease, Message] | None:
        """Claim one message of a queue; return None if it has none free."""
        begun, token = SYSTEM_CLOCK.elapsed(), object()
        try:
            begin_claim(token, (self.project, queue))
            claim_id, messages = self.data.claim_controller.create(queue, self.renewal.metadata, self.project, 1)
            if claim_id is None or not messages:
                return None
            return self.lease(queue, claim_id, messages, begun, window), messages[0]
        except BaseException as error:
            self._suspect(error, queue)
            raise
        finally:
            end_claim(token, None)

    def lease(
        self, queue: str, claim_id: str, messages: Sequence[Message], claimed_at: float, window: PrefetchWindow | None
    ) -> Lease:
        """Renew a claim of messages, made at the elapsed time ``claimed_at`` or later."""

        def on_settled(lease: Lease) -> None:
            self.renewal.settled(lease)
            if window is not None:
                window.settled(lease)

        ids, valid_until = [message["id"] for message in messages], claimed_at + self.renewal.metadata["ttl"]
        lease = Lease(queue, self.project, claim_id, ids, valid_until, on_settled)
        # First: a lease that is not renewed would hold slots for ever.
        self.renewal.add(lease)
        if window is not None:
            window.leases.add(lease)
        return lease

    @staticmethod
    def _pending_leases(consumers: QueueConsumers) -> list[Lease]:
        leases = list(consumers.window.leases)
        return [lease for lease in leases if lease.is_queued and lease.queue == consumers.queue]

    def watch(self, queues: Iterable[str]) -> Watch:
        """Watch queues of one pool."""
        return self.data.watch([(self.project, queue) for queue in queues])


def _expired_ids(consumers: QueueConsumers, messages: Sequence[Message]) -> list[str]:
    """Return the ids of messages without time to live for which these consumers did not wait when they were stored."""
    now, window = time.monotonic(), consumers.window
    waited = now - consumers.since
    if window.prefetch_count and not consumers.no_ack:
        waited = min(waited, now - window.opened_at + _HEAD_START)
    if waited >= MAX_EXACT_AGE:
        return []
    return [
        one["id"]
        for one in messages
        if isinstance(age := one["age"], Age)
        and age.exact > waited
        and is_expired(one, in_zero_ttl_queue=consumers.in_zero_ttl_queue)
    ]
