"""The process's view of a claim: which of its messages are unsettled, and until when it surely holds them."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kombu_pool.model import Project


class Lease:
    """One claim. Each of its messages is unsettled until the store has answered the request that settles it.

    ``valid_until`` is the elapsed time, which goes on while the machine is suspended, before which no other process can
    hold its messages; ``on_settled`` is called after some of them were settled.
    """

    __slots__ = (
        "_acked",
        "_in_flight",
        "_lock",
        "_unsettled",
        "ack",
        "ambiguous",
        "claim_id",
        "is_queued",
        "on_settled",
        "project",
        "queue",
        "valid_until",
    )

    def __init__(
        self,
        queue: str,
        project: Project,
        claim_id: str,
        message_ids: Iterable[str],
        valid_until: float,
        on_settled: Callable[[Lease], None],
    ) -> None:
        self.queue = queue
        self.project = project
        self.claim_id = claim_id
        self.valid_until = valid_until
        self.on_settled = on_settled
        #: Whether it is queued for the next flush.
        self.is_queued = False
        #: Whether the store may have executed a settlement whose answer got lost.
        self.ambiguous = False
        self._unsettled = set(message_ids)
        #: Acknowledged messages that the store does not know of.
        self._acked: deque[str] = deque()
        #: Takes note of an acknowledgement; then the lease is to be queued, unless ``is_queued``. Reset before the ids
        #: are taken, that leaves none behind. In C, without the lock: every acknowledgement comes through here.
        self.ack: Callable[[str], None] = self._acked.append
        #: The messages that each request settles which is on its way.
        self._in_flight: list[list[str]] = []
        # A signal handler may enter it again.
        self._lock = threading.RLock()

    @property
    def unsettled(self) -> int:
        """Return how many messages are unsettled, as far as the store has confirmed."""
        return len(self._unsettled)

    @property
    def acked(self) -> int:
        """Return how many acknowledgements wait for a flush."""
        return len(self._acked)

    @property
    def is_settling(self) -> bool:
        """Return whether a request is on its way that settles messages."""
        return bool(self._in_flight)

    def held(self) -> int:
        """Return how many messages its consumers have not settled, whatever the store knows."""
        with self._lock:
            return len(self._unsettled) - len(self._acked) - sum(map(len, self._in_flight))

    def begin_flush(self, batch: dict[Lease, list[str]]) -> None:
        """Move the acknowledged messages to a batch, which a request settles: flushed() or flush_failed() follows."""
        with self._lock:
            self.is_queued = False
            if self._acked:
                ids = batch[self] = []
                self._in_flight.append(ids)
                _take_all(self._acked, ids)

    def begin_settling(self, ids: list[str]) -> None:
        """Take note that a request settles these messages: flushed() or settling_failed() follows."""
        with self._lock:
            self._in_flight.append(ids)

    def flushed(self, ids: list[str]) -> None:
        """Count messages as settled: the store answered the request with these very ``ids``."""
        with self._lock:
            self._forget(ids)
            self._unsettled.difference_update(ids)
        self.on_settled(self)

    def flush_failed(self, ids: list[str]) -> None:
        """Take acknowledgements back that were not sent, or whose answer got lost."""
        with self._lock:
            self.ambiguous = True
            self._acked.extend(ids)
            self._forget(ids)

    def settling_failed(self, ids: list[str]) -> None:
        """Take note that a request was broken off."""
        with self._lock:
            self._forget(ids)

    def lose(self) -> int:
        """End the lease, whose claim has ended, and return how many messages others may hold now."""
        with self._lock:
            lost = self.held()
            if lost > 0:
                # Otherwise its acknowledgements ended the claim, or will be refused: their sender learns which.
                self.valid_until = 0.0
                self._unsettled.clear()
        if lost > 0:
            self.on_settled(self)
        return max(0, lost)

    def known(self) -> tuple[set[str], set[str]]:
        """Return the unsettled messages, and those of them that are acknowledged or being settled."""
        with self._lock:
            return set(self._unsettled), set(self._acked).union(*self._in_flight)

    def _forget(self, ids: list[str]) -> None:
        self._in_flight = [other for other in self._in_flight if other is not ids]


def _take_all(acked: deque[str], taken: list[str]) -> None:
    """Move all ids; another thread may take some at the same time. In C: a signal handler must not lose one."""
    try:
        taken.extend(iter(acked.popleft, None))
    except IndexError:
        return
