"""Collects acknowledgements for a few milliseconds, and sends those of one queue to its store together."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from kombu_pool.clock import SYSTEM_CLOCK
from kombu_pool.errors import KombuPoolError, PoolUnavailable
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.transport import threads
from kombu_pool.transport.consume.interrupted import Interrupted
from kombu_pool.transport.threads import Flag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver
    from kombu_pool.transport.consume.deliveries import Message
    from kombu_pool.transport.consume.interrupted import Scope
    from kombu_pool.transport.consume.leases import Lease
    from kombu_pool.transport.consume.renewal import Renewal

logger = logging.getLogger(__name__)

#: Acknowledged messages of one queue, by their leases.
Batch: TypeAlias = "dict[Lease, list[str]]"


class Settlement:
    """Deletes acknowledged messages and releases undeliverable ones, from a daemon thread."""

    #: The first and the longest pause after a failed flush, in seconds.
    FIRST_RETRY, LAST_RETRY = 0.1, 1.0
    #: Longest pause between two flushes, in seconds: bounds the wait of what is queued without a wake-up.
    MAX_WAIT = 1.0
    #: The most delays for which the thread leaves acknowledgements to claims that carry them along.
    MAX_DELAYS = 4
    #: The longest delay, in seconds: a slow store is not asked more often than this allows.
    MAX_DELAY = 0.05

    def __init__(self, data: DataDriver, renewal: Renewal, delay: float) -> None:
        self._messages = data.message_controller
        self._place_of = data.catalog.place_of
        self._claims = data.claim_controller
        self._renewal = renewal
        self._delay = delay
        self._pending: deque[Lease] = deque()
        self._begun_at = 0.0
        self.interrupted = Interrupted(data.claim_controller, renewal, self.release)
        self.interrupted.keepers.add(self)
        self._mean_duration = 0.0
        self._to_release: deque[tuple[Lease, str]] = deque()
        self._wake = Flag()
        self._woken = False
        self._flushing = threading.Lock()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._end = Flag()
        #: How many acknowledgements the stores refused because their claims had ended.
        self.refused = 0
        self._late_names: dict[str, str] = {}

    def ack(self, lease: Lease, message_id: str, message: Message | None = None) -> None:
        """Queue the deletion of a message; ``message`` is the delivery, named in the log if the claim has ended."""
        if message is not None and SYSTEM_CLOCK.elapsed() >= lease.valid_until:
            self._late_names[message_id] = name_of(message)
        lease.ack(message_id)
        if not lease.is_queued:
            self._queue(lease)

    def _queue(self, lease: Lease) -> None:
        lease.is_queued = True
        self._pending.append(lease)
        if not self._woken:
            self.wake()

    def release_later(self, lease: Lease, message_id: str) -> None:
        """Queue the release of a message that no consumer can settle any more.

        The garbage collector may call this at any point of any thread, so it takes no lock and wakes no thread: the
        thread looks within MAX_WAIT.
        """
        self._to_release.append((lease, message_id))

    def release(self, lease: Lease, message_ids: list[str]) -> None:
        """Release messages now, to their places in the queue."""
        with self._settling(lease, message_ids):
            if lease.unsettled <= len(message_ids):
                self._claims.delete(lease.queue, lease.claim_id, lease.project)
            else:
                self._claims.release(lease.queue, lease.claim_id, message_ids, lease.project)

    def reject(self, lease: Lease, message_ids: list[str], reason: str = DeadLetterReason.REJECTED) -> None:
        """Dead-letter messages now, or delete them if their queue has no target for dead letters."""
        pairs = [(message_id, lease.claim_id) for message_id in message_ids]
        with self._settling(lease, message_ids):
            refused = self._messages.reject(lease.queue, pairs, lease.project, reason=reason)
        if refused:
            self._log_refused({lease: message_ids}, refused)

    @contextmanager
    def _settling(self, lease: Lease, message_ids: list[str]) -> Iterator[None]:
        """Count messages as settled after a request, also after one that a store did not answer."""
        try:
            lease.begin_settling(message_ids)
            yield
        except KombuPoolError:
            lease.flushed(message_ids)
            raise
        except BaseException:
            lease.settling_failed(message_ids)
            self.suspect()
            raise
        else:
            lease.flushed(message_ids)

    # For deliveries that were broken off.

    def suspect(self, scope: Scope | None = None) -> None:
        """Look soon for deliveries that an exception broke off; see :class:`Interrupted`."""
        self.interrupted.suspect(scope)
        self.wake()

    def _queue_forgotten(self) -> None:
        """Queue the acknowledgements of leases that an exception took out of the queue."""
        for lease in self._renewal.leases():
            if lease.acked and lease not in self._pending:
                self._queue(lease)

    def kept(self) -> Iterator[tuple[Lease, Iterable[str]]]:
        """Return the messages that are queued for a release."""
        for lease, message_id in list(self._to_release):
            yield lease, (message_id,)

    def forget(self, lease: Lease, message_ids: set[str]) -> None:
        """Do nothing: what is broken off is not queued."""

    def flush(self) -> None:
        """Send everything queued, now.

        Raises:
            KombuPoolError: a store did not take all of it; the rest is queued again.
        """
        try:
            self._flush()
        except KombuPoolError:
            raise
        except BaseException:
            self.suspect()
            raise

    def _flush(self) -> None:
        with self._flushing:
            self.send([self._pending.popleft() for _ in range(len(self._pending))])
            while self._to_release:
                lease, message_id = self._to_release.popleft()
                self.release(lease, [message_id])

    def close(self) -> None:
        """Send everything queued and stop the thread; what cannot be sent returns to its queue with its claim's end."""
        self._closed = True
        self._end.set()
        self._wake.set()
        threads.join(self._thread, timeout=5.0)
        try:
            self.flush()
        except KombuPoolError as error:
            logger.warning("Some acknowledgements could not be sent; their messages will run again: %s", error)

    def wake(self) -> None:
        """Wake the thread; the first call starts it."""
        if self._thread is None:
            with self._starting:
                if self._thread is None and not self._closed:
                    self._thread = threads.started(self._run, "settlement")
        # Without a thread the next call tries again.
        self._woken = self._thread is not None
        self._wake.set()

    def _run(self) -> None:
        retry = self.FIRST_RETRY
        while not self._closed:
            self._wake.wait(self.interrupted.wait_limit(self.MAX_WAIT))
            self._collect()
            self._wake.clear()
            self._woken = False
            try:
                self.flush()
                if self.interrupted.look():
                    self._queue_forgotten()
            except KombuPoolError as error:
                level = _level_of(error, is_first=retry == self.FIRST_RETRY)
                logger.log(level, "Some acknowledgements are not sent yet: %s", error)
            except Exception:
                logger.exception("Acknowledgements could not be sent; retrying in %g s at most", self.LAST_RETRY)
            else:
                retry = self.FIRST_RETRY
                continue
            self._end.wait(retry * random.uniform(0.75, 1.25))  # noqa: S311 - nothing secret
            retry = min(2 * retry, self.LAST_RETRY)
            self.wake()

    def _collect(self) -> None:
        """Wait while claims carry acknowledgements along, at most MAX_DELAYS delays."""
        for _ in range(self.MAX_DELAYS if self._delay else 0):
            begun = time.monotonic()
            time.sleep(max(self._delay, 3 * self._mean_duration))
            if self._begun_at < begun and not any(lease.is_settling for lease in self._renewal.leases()):
                return

    def send(self, leases: Iterable[Lease]) -> None:
        """Send the acknowledgements of these leases, now; raises as :meth:`flush` does."""
        queues: dict[tuple[str, Project], list[Lease]] = {}
        for lease in leases:
            queues.setdefault((lease.queue, lease.project), []).append(lease)
        failure: KombuPoolError | None = None
        down: set[str] = set()
        for (queue, project), pending in queues.items():
            if down and self._place_of(queue, project) in down:
                # One timeout for each: more would delay the acknowledgements of the other pools and parts.
                self._pending.extend(pending)
                continue
            batch: Batch = {}
            try:
                if self.begin_flush(pending, batch):
                    self.flushed(batch, self._messages.delete_claimed(queue, pairs_of(batch), project))
            except KombuPoolError as error:
                self.flush_failed(batch)
                failure = error
                if isinstance(error, PoolUnavailable):
                    down.add(error.place)
            except BaseException:
                self.flush_failed(batch)
                self._pending.extend(lease for others in queues.values() for lease in others if lease not in batch)
                raise
        if failure is not None:
            raise failure

    # For claims that carry acknowledgements along.

    def begin_flush(self, leases: Iterable[Lease], batch: Batch) -> bool:
        """Move the acknowledgements of leases of one queue to a batch; return whether there are some.

        :meth:`flushed` or :meth:`flush_failed` follows, also after an exception.
        """
        for lease in leases:
            lease.begin_flush(batch)
        self._begun_at = time.monotonic()
        return bool(batch)

    def flush_failed(self, batch: Batch) -> None:
        """Queue a batch again that was not sent, or whose answer got lost."""
        for lease, ids in batch.items():
            lease.flush_failed(ids)
            self._queue(lease)

    def flushed(self, batch: Batch, refused: Sequence[tuple[str, str]]) -> None:
        """Count a batch as settled, and log the (message id, claim id) pairs that the store refused."""
        # Another thread may have begun a batch since; that only shortens the mean.
        self._mean_duration = min(self.MAX_DELAY, (self._mean_duration + time.monotonic() - self._begun_at) / 2)
        for lease, ids in batch.items():
            lease.flushed(ids)
        if refused:
            self._log_refused(batch, refused)
        if self._late_names:
            for ids in batch.values():
                for message_id in ids:
                    self._late_names.pop(message_id, None)

    def _log_refused(self, batch: Batch, refused: Sequence[tuple[str, str]]) -> None:
        # A lost answer may have been a success: the store then refuses the second try for that reason.
        ambiguous = {lease.claim_id for lease in batch if lease.ambiguous}
        late = [message_id for message_id, claim_id in refused if claim_id not in ambiguous]
        if late:
            self.refused += len(late)
            logger.warning(
                "Queue %r refused %d late acknowledgement(s): the claims had ended, so other workers may have run "
                "these messages too: %s (%d in all)",
                next(iter(batch)).queue,
                len(late),
                ", ".join(self._late_names.get(message_id, message_id) for message_id in late),
                self.refused,
            )


def _level_of(error: KombuPoolError, *, is_first: bool) -> int:
    """Return the level of a failed flush: pooling logs the outage of a pool."""
    if not isinstance(error, PoolUnavailable):
        return logging.WARNING
    return logging.INFO if is_first else logging.DEBUG


def name_of(message: Message) -> str:
    """Return the name by which a message's producer knows it: a task's id, if it is a task."""
    return str(message.headers.get("id") or message.properties.get("correlation_id") or message.delivery_tag)


def pairs_of(batch: Batch) -> list[tuple[str, str]]:
    """Return the (message id, claim id) pairs of a batch."""
    return [(message_id, lease.claim_id) for lease, ids in batch.items() for message_id in ids]
