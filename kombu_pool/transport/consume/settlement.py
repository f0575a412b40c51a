"""Gathers acknowledgements for a few milliseconds, and sends those of one queue to the store together."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from kombu_pool.errors import KombuPoolError, PoolUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kombu_pool.model import Project
    from kombu_pool.storage import ClaimController, MessageController
    from kombu_pool.transport.consume.deliveries import Message
    from kombu_pool.transport.consume.leases import Lease, Renewal

logger = logging.getLogger(__name__)

#: Acknowledged messages of one queue, by their leases.
Batch: TypeAlias = "dict[Lease, list[str]]"


class Settlement:
    """Deletes what was acknowledged and frees what nobody will acknowledge, from a daemon thread of its own."""

    #: Seconds between two tries, and between two looks for what nobody rang for.
    RETRY, LOOK = 0.5, 1.0
    #: The most delays for which the thread leaves it to others to send acknowledgements along with their claims.
    TURNS = 4
    #: The longest delay, in seconds: a store that takes its time is not told the more often for that.
    SLOWEST = 0.05

    def __init__(
        self,
        messages: MessageController,
        claims: ClaimController,
        renewal: Renewal,
        delay: float,
        pool_of: Callable[[str, Project], str | None],
    ) -> None:
        self._messages = messages
        self._pool_of = pool_of
        self._claims = claims
        self._renewal = renewal
        self._delay = delay
        self._dirty: deque[Lease] = deque()
        self._taken_at = 0.0
        #: The batches of which a store is being told.
        self._under_way: set[int] = set()
        self._pace = 0.0
        self._orphaned: deque[tuple[Lease, str]] = deque()
        self._wake = threading.Event()
        self._ringing = False
        self._flushing = threading.Lock()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        #: How many acknowledgements the stores have refused, for the claims had ended.
        self.late = 0
        self._late_names: dict[str, str] = {}

    def ack(self, lease: Lease, message_id: str, message: Message | None = None) -> None:
        """Delete the message soon; ``message`` is what was delivered, to be named if that comes too late."""
        if message is not None and time.monotonic() >= lease.valid_until:
            self._late_names[message_id] = name_of(message)
        lease.acked.append(message_id)
        # Looked at after the append, and reset before the ids are taken: none is left behind.
        if not lease.is_dirty:
            self._mark(lease)

    def _mark(self, lease: Lease) -> None:
        lease.is_dirty = True
        self._dirty.append(lease)
        if not self._ringing:
            self.ring()

    def orphan(self, lease: Lease, message_id: str) -> None:
        """Free, soon, a message that nobody can acknowledge any more.

        The garbage collector may call this in the middle of anything, so it takes no lock: the thread looks by itself.
        """
        self._orphaned.append((lease, message_id))

    def release(self, lease: Lease, message_ids: list[str]) -> None:
        """Free messages now, where they stood."""
        self._renewal.telling(lease, len(message_ids))
        try:
            if lease.left <= len(message_ids):
                self._claims.delete(lease.queue, lease.claim_id, lease.project)
            else:
                self._claims.release(lease.queue, lease.claim_id, message_ids, lease.project)
        finally:
            self._renewal.settled(lease, len(message_ids))

    def reject(self, lease: Lease, message_ids: list[str]) -> None:
        """Dead-letter messages now, or delete them if their queue has nowhere for dead letters to go."""
        pairs = [(message_id, lease.claim_id) for message_id in message_ids]
        self._renewal.telling(lease, len(message_ids))
        try:
            refused = self._messages.reject(lease.queue, pairs, lease.project)
        finally:
            self._renewal.settled(lease, len(message_ids))
        if refused:
            self._complain({lease: message_ids}, refused)

    def flush(self) -> None:
        """Send all that was gathered, now.

        Raises:
            KombuPoolError: the store did not take all of it; what is left is tried again.
        """
        with self._flushing:
            self.send([self._dirty.popleft() for _ in range(len(self._dirty))])
            while self._orphaned:
                lease, message_id = self._orphaned.popleft()
                self.release(lease, [message_id])

    def close(self) -> None:
        """Send what was gathered and stop; what cannot be sent comes back when its claim ends."""
        self._closed = True
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5.0)
        try:
            self.flush()
        except KombuPoolError as error:
            logger.warning("Some acknowledgements could not be sent: %s", error)

    def ring(self) -> None:
        """Wake the thread, which starts with the first call."""
        if self._thread is None:
            with self._starting:
                if self._thread is None and not self._closed:
                    self._thread = threading.Thread(target=self._run, name="kombu_pool-settlement", daemon=True)
                    self._thread.start()
        self._ringing = True
        self._wake.set()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self.LOOK)
            self._gather()
            self._wake.clear()
            self._ringing = False
            try:
                self.flush()
            except KombuPoolError as error:
                logger.warning("Some acknowledgements are not sent yet: %s", error)
                time.sleep(self.RETRY)
                self.ring()
            except Exception:
                logger.exception("Acknowledgements could not be sent")
                time.sleep(self.RETRY)

    def _gather(self) -> None:
        for _ in range(self.TURNS if self._delay else 0):
            begun = time.monotonic()
            time.sleep(max(self._delay, 3 * self._pace))
            if self._taken_at < begun and not self._under_way:
                return

    def send(self, leases: Iterable[Lease]) -> None:
        """Send what was gathered of these leases, now; raises as :meth:`flush` does."""
        queues: dict[tuple[str, Project], list[Lease]] = {}
        for lease in leases:
            queues.setdefault((lease.queue, lease.project), []).append(lease)
        failure: KombuPoolError | None = None
        silent: set[str] = set()
        for (queue, project), dirty in queues.items():
            if silent and self._pool_of(queue, project) in silent:
                # It was waited for already: more of that would keep those of the other pools back.
                self._dirty.extend(dirty)
                continue
            batch = self.take(dirty)
            try:
                if batch:
                    self.taken(batch, self._messages.delete_claimed(queue, held(batch), project))
            except KombuPoolError as error:
                self.put_back(batch)
                failure = error
                if isinstance(error, PoolUnavailable):
                    silent.add(error.pool)
            except BaseException:
                self.put_back(batch)
                self._dirty.extend(lease for others in queues.values() for lease in others if lease not in batch)
                raise
        if failure is not None:
            raise failure

    # For whoever sends acknowledgements along with something else.

    def take(self, leases: Iterable[Lease]) -> Batch:
        """Take what was gathered of leases of one queue: the store is told of it next, or it is put back."""
        batch: Batch = {}
        for lease in leases:
            lease.is_dirty = False
            ids = _taken(lease.acked)
            if ids:
                batch[lease] = ids
                self._renewal.telling(lease, len(ids))
        self._taken_at = time.monotonic()
        if batch:
            self._under_way.add(id(batch))
        return batch

    def put_back(self, batch: Batch) -> None:
        """Gather again what could not be sent, or of which nobody knows whether it arrived."""
        self._under_way.discard(id(batch))
        for lease, ids in batch.items():
            lease.in_doubt = True
            lease.acked.extend(ids)
            self._renewal.telling(lease, -len(ids))
            self._mark(lease)

    def taken(self, batch: Batch, refused: Sequence[tuple[str, str]]) -> None:
        """Hear that the store knows of a batch, but for what it refused."""
        self._under_way.discard(id(batch))
        # Others may have taken some since; what comes of that is a shorter pace.
        self._pace = min(self.SLOWEST, (self._pace + time.monotonic() - self._taken_at) / 2)
        for lease, ids in batch.items():
            self._renewal.settled(lease, len(ids))
        if refused:
            self._complain(batch, refused)
        if self._late_names:
            for ids in batch.values():
                for message_id in ids:
                    self._late_names.pop(message_id, None)

    def _complain(self, batch: Batch, refused: Sequence[tuple[str, str]]) -> None:
        # What was sent before an answer got lost may be gone for that very reason.
        doubtful = {lease.claim_id for lease in batch if lease.in_doubt}
        late = [message_id for message_id, claim_id in refused if claim_id not in doubtful]
        if late:
            self.late += len(late)
            logger.warning(
                "Queue %r refused %d late acknowledgement(s): the claims had ended, so these ran elsewhere too: %s "
                "(%d in all)",
                next(iter(batch)).queue,
                len(late),
                ", ".join(self._late_names.get(message_id, message_id) for message_id in late),
                self.late,
            )


def name_of(message: Message) -> str:
    """Return how a message's sender knows it: by a task's id, if it is one."""
    return str(message.headers.get("id") or message.properties.get("correlation_id") or message.delivery_tag)


def held(batch: Batch) -> list[tuple[str, str]]:
    """Return the (message id, claim id) pairs of a batch."""
    return [(message_id, lease.claim_id) for lease, ids in batch.items() for message_id in ids]


def _taken(acked: deque[str]) -> list[str]:
    """Take all ids; another thread may be taking some at the same time."""
    taken: list[str] = []
    try:
        while True:
            taken.append(acked.popleft())
    except IndexError:
        return taken
