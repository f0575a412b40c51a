"""The part of the contract that shows an operator many queues at once. Each method has a default."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from kombu_pool.errors import ClaimDoesNotExist, QueueDoesNotExist
from kombu_pool.model import QueueCounts
from kombu_pool.storage.queue_metadata import DEFAULT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kombu_pool.model import Claim, Message, Project
    from kombu_pool.storage.queues import QueueController

#: Number of messages in one state of a queue from which a count may stop, where counting costs more the more there are.
MAX_COUNTED = 100_000
#: Bytes of the tag of a claim's holder.
HOLDER_BYTES = 8


@lru_cache(maxsize=1024)
def holder_tag(holder: str) -> bytes:
    """Return the tag of a claim's holder: a hash of its name, by which a store may keep it."""
    return hashlib.blake2b(holder.encode("utf-8", "surrogatepass"), digest_size=HOLDER_BYTES).digest()


class LiveClaim(NamedTuple):
    """A live claim, with its messages' ids or some of them; ``age`` is since its creation or its last renewal.

    ``held``: the number of all its messages. ``holder``: the :func:`holder_tag` of its holder; None if it names none,
    or the store cannot tell. ``age`` and ``ttl`` are in seconds.
    """

    id: str
    age: int
    ttl: float
    message_ids: Sequence[str]
    held: int
    holder: bytes | None


class _Messages(Protocol):
    """What the default needs of the messages of a store."""

    queues: QueueController

    def delayed_ids(self, queue: str, project: Project = None, limit: int = ...) -> Sequence[str]:
        """Return the ids of delayed messages."""

    def list(
        self,
        queue: str,
        project: Project = None,
        marker: None = None,
        limit: int = ...,
        *,
        echo: bool,
        include_claimed: bool = False,
    ) -> Any:
        """List messages."""

    def count(self, queue: str, project: Project = None) -> int:
        """Count the free messages."""


class MessageInspection:
    """What a message store tells of many queues."""

    #: Messages of all queues together that :meth:`count_many` counts within some 50 ms, where it counts each of them: a
    #: series of looks counts no more in each look. None: any number.
    counted_at_once: int | None = None

    def count_many(
        self: _Messages, queues: Sequence[tuple[Project, str]], limit: int = MAX_COUNTED
    ) -> Sequence[QueueCounts | None]:
        """Count the messages of each queue by state; None for a queue that does not exist.

        With one call to the store, or a few, where it can. Where a count costs more the more messages there are, it
        stops at ``limit``; then the oldest free message may be an older one, too.
        """
        return [_counts(self, queue, project, limit) for project, queue in queues]

    def due_times(
        self: _Messages, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT
    ) -> Sequence[tuple[str, float | None]]:
        """Return the ids of up to ``limit`` delayed messages, as ``delayed_ids`` does, and when they become free.

        The time is None where the store cannot tell it.
        """
        return [(message_id, None) for message_id in self.delayed_ids(queue, project, limit)]


def _counts(messages: _Messages, queue: str, project: Project, limit: int) -> QueueCounts | None:
    try:
        stats = messages.queues.stats(queue, project)
    except QueueDoesNotExist:
        return None
    free = messages.count(queue, project)
    listing: Iterator[Any] = messages.list(queue, project, None, limit, echo=True)
    ages = [message["age"] for message in next(listing)]
    counts = stats["messages"]
    # A message may become free between the two reads.
    delayed, paused = max(counts["free"] - free, 0), "paused" in stats
    return QueueCounts(free, delayed, counts["claimed"], max(ages, default=None), is_exact=True, paused=paused)


class _Claims(Protocol):
    """What the default needs of the claims of a store."""

    @property
    def messages(self) -> _Messages:
        """The messages of the store."""

    def get(self, queue: str, claim_id: str, project: Project = None) -> tuple[Claim, Sequence[Message]]:
        """Return a claim and its messages."""


class ClaimInspection:
    """What a message store tells of the claims of a queue."""

    def live_claims(
        self: _Claims, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT
    ) -> Sequence[LiveClaim]:
        """Return claims that hold messages, of which ``limit`` are named at most; an absent queue has none.

        In no order. Where the store can, without a search among the free messages.
        """
        # An ended claim may be named, too.
        listing: Iterator[Any] = self.messages.list(queue, project, None, 0, echo=True, include_claimed=True)
        named = dict.fromkeys(one["claim_id"] for one in next(listing) if one["claim_id"] is not None)
        live: list[LiveClaim] = []
        for claim_id in named:
            left = limit - sum(len(claim.message_ids) for claim in live)
            if left < 1:
                break
            with suppress(ClaimDoesNotExist):
                claim, messages = self.get(queue, claim_id, project)
                ids = [message["id"] for message in messages[:left]]
                live.append(LiveClaim(claim_id, claim["age"], claim["ttl"], ids, len(messages), None))
        return live


class _Consumers(Protocol):
    """What the default needs of the holders in a control store."""

    def count(self, queue: str, project: Project = None) -> int:
        """Count the live consumers of a queue."""


class ConsumerInspection:
    """What a control store tells of the consumers of queues."""

    def count_many(self: _Consumers, queues: Sequence[tuple[Project, str]]) -> Sequence[int]:
        """Count the live consumers of each queue. With one call to the store, or a few, where it can."""
        return [self.count(queue, project) for project, queue in queues]

    def consumers(self, queue: str, project: Project = None) -> Sequence[str]:
        """Return the names of the queue's live consumers; none where the store cannot list them."""
        return ()
