"""The queue through which the processes of a project share samples, and the lease of the one that takes them.

Both are queues of the control store, which every control store has: a sample is a message with a ttl, and the lease is
a claim of the only message of a queue. Both queues expire when no process has sampled for an hour.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import DoesNotExist
from kombu_pool.model import Expiry, Uniqueness
from kombu_pool.transport import processes

if TYPE_CHECKING:
    from kombu_pool.model import Project
    from kombu_pool.pooling import DataDriver

#: The queue whose only message a process claims to take the samples, and the queue of the samples.
LEASE_QUEUE, SAMPLE_QUEUE = "kombu_pool.sampler", "kombu_pool.samples"
#: Time after which the queues are deleted if no process has sampled, in seconds.
LIFETIME = 3600.0
#: Bound of the samples that are read at once.
_MAX_READ = 100
#: The scope of the lease's message: no other one is stored while it exists.
_TOKEN = Uniqueness("token", "unfinished")


class SampleQueue:
    """The samples of a project, each kept for ``ttl`` seconds."""

    def __init__(self, store: DataDriver, project: Project, ttl: float) -> None:
        self._store = store
        self._project = project
        self._ttl = ttl
        self._marker: str | None = None
        #: The hashes of the last samples that this process has read or posted. A lost queue may have had the same ids.
        self._known: deque[int] = deque(maxlen=2 * _MAX_READ)

    def post(self, record: bytes) -> None:
        """Store a sample; create the queue if it does not exist."""
        messages: list[Any] = [{"ttl": self._ttl, "body": record}]
        try:
            self._store.message_controller.post(SAMPLE_QUEUE, messages, None, self._project)
        except DoesNotExist:
            _create(self._store, SAMPLE_QUEUE, self._project)
            self._store.message_controller.post(SAMPLE_QUEUE, messages, None, self._project)
        self._known.append(hash(record))

    def read(self) -> list[tuple[object, float]]:
        """Return the samples that this process has not read or posted, the oldest first, with their ages in seconds."""
        pages = self._store.message_controller.list(SAMPLE_QUEUE, self._project, self._marker, _MAX_READ, echo=True)
        found = [(message, _hash(message["body"])) for message in next(pages)]
        self._marker = next(pages) or self._marker
        found = [(message, number) for message, number in found if number not in self._known]
        self._known.extend(number for _, number in found)
        return [(message["body"], float(getattr(message["age"], "exact", message["age"]))) for message, _ in found]

    def rewind(self) -> None:
        """Read from the first sample again: a queue that was lost and made again does not know the marker."""
        self._marker = None

    def touch(self) -> None:
        """Restart the lifetimes of both queues."""
        for queue in (LEASE_QUEUE, SAMPLE_QUEUE):
            self._store.control.consumers_controller.touch(queue, self._project)


class Lease:
    """The right to take the samples of a project, which one process has at a time, for ``ttl`` seconds."""

    def __init__(self, store: DataDriver, project: Project, ttl: float) -> None:
        self._store = store
        self._project = project
        self._ttl = ttl
        self._claim: str | None = None

    @property
    def is_held(self) -> bool:
        """Whether this process had the lease when it last asked."""
        return self._claim is not None

    def acquire(self) -> bool:
        """Take the lease if no process has it; return whether this one has it now."""
        self._claim = self._try()
        if self._claim is None:
            _create(self._store, LEASE_QUEUE, self._project)
            # Dropped while there is a token, claimed or not.
            token: list[Any] = [{"ttl": None, "body": None, "unique": _TOKEN}]
            self._store.message_controller.post(LEASE_QUEUE, token, None, self._project)
            self._claim = self._try()
        return self.is_held

    def _try(self) -> str | None:
        return self._store.claim_controller.create(LEASE_QUEUE, self._metadata(), self._project, 1)[0]

    def renew(self) -> bool:
        """Renew the lease; return False if it has ended."""
        if self._claim is not None:
            try:
                self._store.claim_controller.update(LEASE_QUEUE, self._claim, self._metadata(), self._project)
            except DoesNotExist:
                self._claim = None
        return self.is_held

    def release(self) -> None:
        """End the lease now. Idempotent."""
        claim, self._claim = self._claim, None
        if claim is not None:
            with suppress(DoesNotExist):
                self._store.claim_controller.delete(LEASE_QUEUE, claim, self._project)

    def forget(self) -> None:
        """Give the lease up without a call: it belongs to the parent process."""
        self._claim = None

    def _metadata(self) -> Any:
        return {"ttl": self._ttl, "grace": 0, "holder": processes.process()}


def _hash(body: object) -> int:
    return hash(body) if isinstance(body, bytes) else 0


def _create(store: DataDriver, queue: str, project: Project) -> None:
    store.queue_controller.create(queue, None, project, expiry=Expiry(LIFETIME, from_now=True))
