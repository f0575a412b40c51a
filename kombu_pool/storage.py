"""The storage contract: what every message store and every control store promises.

A *data driver* keeps messages, claims and subscriptions of the queues that live in its store; a *control driver* knows
which queues there are, which pool each is assigned to, and how exchanges lead to them. The docstrings here are the
specification, and the conformance suite holds every driver, and pooling itself, to them.

A message is *delayed* until its delay is over, then *free*, *claimed* while a claim on it lives, and *expired* when its
ttl is over. Every read checks expiry by itself, so that an expired message or an ended claim is never seen, whether or
not anybody has collected it yet.

What holds everywhere:

- ``project`` None is a namespace of its own, apart from every string.
- Names may hold any character. Ids are opaque strings; an id that cannot be one is treated like an unknown one.
- Messages are ordered by priority, higher first, then by the order in which the store took them. A message that comes
  back from a claim stands where it stood.
- ``list`` returns an iterator of two items: first the page (an iterable), then the marker to pass for the next page,
  falsy when the page was empty. A marker outlives the row that it names. ``limit`` 0 means all.
- A call that raises has had no effect, unless it raises :class:`~kombu_pool.errors.ConnectionError`: then it may have.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from kombu_pool.model import (
        Binding,
        Capabilities,
        CatalogueEntry,
        Claim,
        ClaimMetadata,
        Exchange,
        Flavor,
        Message,
        Metadata,
        NewMessage,
        Pool,
        Project,
        Subscription,
    )

T = TypeVar("T")

DEFAULT_LIMIT = 10

#: Queue metadata that a store heeds. Any other key is kept and given back.
DEFAULT_MESSAGE_TTL = "_default_message_ttl"  # seconds: the longest ttl that a message of the queue gets
DEFAULT_MESSAGE_DELAY = "_default_message_delay"  # seconds: the delay of a message that names none
MAX_CLAIM_COUNT = "_max_claim_count"  # how often a message is lent before it is dead-lettered
DEAD_LETTER_QUEUE = "_dead_letter_queue"  # the queue, of the same project, that takes it then
DEAD_LETTER_TTL = "_dead_letter_queue_messages_ttl"  # seconds: the ttl that it gets there
FLAVOR = "_flavor"  # the flavor whose pools the queue may live in

#: Where a record that cannot be decoded is set aside when its queue names no dead-letter queue.
UNREADABLE_QUEUE = "kombu_pool.unreadable"


def page(items: Sequence[T], marker: Callable[[T], str]) -> Iterator[Any]:
    """Answer a ``list``: the page, then the marker of its last item, or "" when there is none."""
    return iter((items, marker(items[-1]) if items else ""))


class QueueController(ABC):
    """Knows which queues there are.

    Control stores and message stores both have one: the first for all queues, the second for those that live in it.
    """

    @abstractmethod
    def list(
        self,
        project: Project = None,
        kfilter: Mapping[str, Any] = {},
        marker: str | None = None,
        limit: int = DEFAULT_LIMIT,
        detailed: bool = False,
        name: str | None = None,
    ) -> Iterator[Any]:
        """List queues by name (byte order): ``{"name"}``, and their ``"metadata"`` when ``detailed``.

        ``kfilter`` keeps queues whose metadata has these values; ``name`` those whose name contains it. Both come
        before the limit.
        """

    @abstractmethod
    def get(self, name: str, project: Project = None) -> Metadata:
        """Return the queue's metadata.

        Raises:
            QueueDoesNotExist: there is no such queue.
        """

    def get_metadata(self, name: str, project: Project = None) -> Metadata:
        """Return the queue's metadata, as :meth:`get` does."""
        return self.get(name, project)

    @abstractmethod
    def set_metadata(self, name: str, metadata: Metadata, project: Project = None) -> None:
        """Replace the queue's metadata as a whole.

        Raises:
            QueueDoesNotExist: there is no such queue.
        """

    @abstractmethod
    def create(self, name: str, metadata: Metadata | None = None, project: Project = None) -> bool:
        """Create the queue and return True; an existing one is left as it is: False."""

    @abstractmethod
    def exists(self, name: str, project: Project = None) -> bool:
        """Tell whether there is such a queue."""

    @abstractmethod
    def delete(self, name: str, project: Project = None) -> None:
        """Delete the queue with all that is in it. Idempotent; takes no longer for a longer queue."""

    @abstractmethod
    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        """Count the queue's messages: ``{"messages": {"claimed", "free", "total", "oldest"?, "newest"?}}``.

        ``free`` counts every message that is not claimed, delayed ones too. ``oldest`` and ``newest`` are there
        unless the queue is empty: ``{"id", "age", "created"}``, ``created`` as ``YYYY-MM-DDTHH:MM:SSZ``. A control
        store counts no messages: it answers zeros.

        Raises:
            QueueDoesNotExist: there is no such queue.
        """

    @abstractmethod
    def calculate_resource_count(self, project: Project = None) -> int:
        """Count the project's queues."""


class MessageController(ABC):
    """Keeps messages."""

    @abstractmethod
    def post(
        self, queue: str, messages: Iterable[NewMessage], client_uuid: object, project: Project = None
    ) -> Sequence[str]:
        """Store the messages, all of them or none, and return their ids in the order given.

        They are stored for good when this returns. ``client_uuid`` (anything with a text, or None) names the poster
        for ``list(echo=False)``. Without messages: nothing happens, ``[]``.

        Raises:
            QueueDoesNotExist: there is no such queue.
            MessageNotEncodable, MessageTooLarge, InvalidMessage: a message cannot be stored; none was.
        """

    @abstractmethod
    def list(
        self,
        queue: str,
        project: Project = None,
        marker: str | None = None,
        limit: int = DEFAULT_LIMIT,
        echo: bool = False,
        client_uuid: object = None,
        include_claimed: bool = False,
        include_delayed: bool = False,
    ) -> Iterator[Any]:
        """List messages in order; unless ``echo``, without those that ``client_uuid`` posted.

        The filters come before the limit. Absent queue: an empty page. An unknown marker: an empty page.
        """

    @abstractmethod
    def get(self, queue: str, message_id: str, project: Project = None) -> Message:
        """Return one message, in whichever state but expired.

        Raises:
            QueueDoesNotExist, MessageDoesNotExist: there is no such queue, or no such message in it.
        """

    @abstractmethod
    def first(self, queue: str, project: Project = None, sort: int = 1) -> Message:
        """Return the first free message in order, or the last with ``sort`` -1.

        Raises:
            QueueDoesNotExist: there is no such queue.
            QueueIsEmpty: it has no free message.
            ValueError: ``sort`` is neither 1 nor -1.
        """

    @abstractmethod
    def bulk_get(self, queue: str, message_ids: Iterable[str], project: Project = None) -> Sequence[Message]:
        """Return those of the messages that are there."""

    @abstractmethod
    def delete(self, queue: str, message_id: str, project: Project = None, claim: str | None = None) -> None:
        """Delete a message; a claimed one only under its claim. An absent queue or message: nothing happens.

        Raises:
            MessageIsClaimed: a live claim holds it and ``claim`` is None.
            MessageNotClaimedBy: a live claim holds it, and it is not ``claim``, which lives too.
            MessageNotClaimed: ``claim`` is given, but no live claim holds the message.
            ClaimDoesNotExist: ``claim`` is malformed; or it is unknown while a live claim holds the message.
        """

    @abstractmethod
    def bulk_delete(
        self, queue: str, message_ids: Iterable[str], project: Project = None, claim_ids: Sequence[str] | None = None
    ) -> None:
        """Delete messages: whatever their state without ``claim_ids``, else only if those claims hold them all.

        Unknown messages are passed over.

        Raises:
            MessageNotClaimed: ``claim_ids`` are given and one of the messages is not claimed; none was deleted.
            ClaimDoesNotMatch: one of them is held by a claim that is not listed; none was deleted.
        """

    @abstractmethod
    def pop(self, queue: str, limit: int, project: Project = None) -> Sequence[Message]:
        """Claim up to ``limit`` free messages and delete them, in one step. Counts as a lending."""

    # Ours, beyond Zaqar's.

    @abstractmethod
    def delete_claimed(
        self, queue: str, held: Sequence[tuple[str, str]], project: Project = None
    ) -> Sequence[tuple[str, str]]:
        """Delete, in one step, each (message id, claim id) whose live claim still holds the message.

        A claim whose last message goes ends with it.

        Returns:
            Those that were not deleted: the claim has ended, or never held the message.
        """

    @abstractmethod
    def purge(self, queue: str, project: Project = None) -> int:
        """Delete every message that is not claimed, and return how many they were. Absent queue: 0."""

    @abstractmethod
    def count(self, queue: str, project: Project = None) -> int:
        """Count the free messages. Absent queue: 0."""


class ClaimController(ABC):
    """Lends messages to one holder at a time."""

    @abstractmethod
    def create(
        self, queue: str, metadata: ClaimMetadata, project: Project = None, limit: int = DEFAULT_LIMIT
    ) -> tuple[str | None, Sequence[Message]]:
        """Lend up to ``limit`` free messages, in order, and return the claim's id and them.

        Atomic: no two claims ever hold one message. Each lending adds one to ``claim_count``, which the messages
        returned show. A message that would expire before the claim is kept until the claim's end plus
        ``metadata["grace"]`` seconds, and its ttl grows by ``grace``. Nothing to lend, or no such queue:
        ``(None, [])``, and nothing is written.

        When the queue's metadata has ``_max_claim_count`` and ``_dead_letter_queue``, a message that was lent that
        often is moved to that queue instead, in one step, whole and unclaimed, with ``dead_letter`` saying where from
        and why. If that queue is not in this store, the message is handed to :attr:`DataDriver.forward_dead_letter`;
        if it is nowhere, the message is lent all the same: nothing is lost.

        A record that cannot be decoded is set aside likewise, in ``_dead_letter_queue`` or in
        :data:`UNREADABLE_QUEUE`, its body ``{"record": the bytes, "error": why}``; the messages behind it are lent.
        """

    @abstractmethod
    def get(self, queue: str, claim_id: str, project: Project = None) -> tuple[Claim, Sequence[Message]]:
        """Return the claim and the messages that it still holds, in order.

        Raises:
            ClaimDoesNotExist: it has ended, or never was; a claim whose last message was deleted has ended.
        """

    @abstractmethod
    def update(self, queue: str, claim_id: str, metadata: ClaimMetadata, project: Project = None) -> None:
        """Let the claim live ``metadata["ttl"]`` seconds from now.

        A message of it that would expire before the claim does is kept until the claim's end plus ``grace`` seconds.

        Raises:
            ClaimDoesNotExist: it has ended; its messages may be someone else's now.
        """

    @abstractmethod
    def delete(self, queue: str, claim_id: str, project: Project = None) -> None:
        """End the claim: its messages are free at once, where they stood. Idempotent."""

    # Ours, beyond Zaqar's.

    @abstractmethod
    def release(self, queue: str, claim_id: str, message_ids: Iterable[str], project: Project = None) -> int:
        """Free some of the claim's messages, where they stood, and return how many; those it does not hold: none."""


class SubscriptionController(ABC):
    """Remembers who wants to be told of a queue's messages.

    Every method raises :class:`~kombu_pool.errors.QueueDoesNotExist` for an absent queue, but ``delete``, ``exists``
    and ``list``, which have nothing to do there.
    """

    @abstractmethod
    def list(
        self, queue: str, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Iterator[Any]:
        """List the queue's living subscriptions, by id."""

    @abstractmethod
    def get(self, queue: str, subscription_id: str, project: Project = None) -> Subscription:
        """Return one.

        Raises:
            SubscriptionDoesNotExist: it is not there, or of another queue, or has expired.
        """

    @abstractmethod
    def get_with_subscriber(self, queue: str, subscriber: str, project: Project = None) -> Subscription:
        """Return the one of that subscriber; raises as :meth:`get` does."""

    @abstractmethod
    def create(
        self, queue: str, subscriber: str, ttl: float, options: Mapping[str, Any], project: Project = None
    ) -> str | None:
        """Add a subscription, not yet confirmed, and return its id; None when the subscriber has one already."""

    @abstractmethod
    def update(self, queue: str, subscription_id: str, project: Project = None, **kwargs: Any) -> None:
        """Change ``subscriber``, ``ttl`` or ``options``; a new ttl counts from now.

        Raises:
            SubscriptionDoesNotExist: it is not there.
            SubscriptionAlreadyExists: the new subscriber has a subscription already.
            ConfigurationError: nothing to change is named, or something else is.
        """

    @abstractmethod
    def exists(self, queue: str, subscription_id: str, project: Project = None) -> bool:
        """Tell whether it is there."""

    @abstractmethod
    def delete(self, queue: str, subscription_id: str, project: Project = None) -> None:
        """Remove it. Idempotent."""

    @abstractmethod
    def confirm(
        self, queue: str, subscription_id: str, project: Project = None, confirmed: bool | None = None
    ) -> None:
        """Mark it as confirmed, which None means too, or with False as not confirmed.

        Raises:
            SubscriptionDoesNotExist: it is not there.
        """


class Watch(ABC):
    """Waits until some of a set of queues may have something to claim."""

    @abstractmethod
    def wait(self, timeout: float) -> bool:
        """Return True as soon as something may have become claimable, or :meth:`interrupt` was called; else False.

        What became claimable since the last ``wait`` counts, so nothing is missed between two of them. Delays and
        claims that end count too. May return True for nothing. One thread waits at a time. An idle wait costs next
        to no CPU.
        """

    @abstractmethod
    def interrupt(self) -> None:
        """Make the current or the next :meth:`wait` return at once. From any thread."""

    @abstractmethod
    def close(self) -> None:
        """Give up what the watch holds. Idempotent."""


class DataDriver(ABC):
    """A message store, or pooling over many."""

    capabilities: tuple[Capabilities, ...]
    queue_controller: QueueController
    message_controller: MessageController
    claim_controller: ClaimController
    subscription_controller: SubscriptionController

    #: Called with (project, dead-letter queue, message) when a message must be dead-lettered to a queue of another
    #: store. Returns True once the message is stored there, False when there is no such queue anywhere.
    forward_dead_letter: Callable[[Project, str, NewMessage], bool] | None = None

    @abstractmethod
    def watch(self, queues: Iterable[tuple[Project, str]]) -> Watch:
        """Watch these (project, queue) pairs, existing or not."""

    @abstractmethod
    def is_alive(self) -> bool:
        """Tell whether the store answers. Never raises."""

    @abstractmethod
    def health(self) -> dict[str, Any]:
        """Say how the store does: ``{"storage_reachable": bool, ...}``. Never raises."""

    @abstractmethod
    def gc(self) -> int:
        """Collect expired messages, ended claims and the rest of deleted queues; return how many rows went."""

    @abstractmethod
    def close(self) -> None:
        """Close the store. Idempotent."""


class PoolsController(ABC):
    """Knows the pools."""

    @abstractmethod
    def list(
        self, marker: str | None = None, limit: int = DEFAULT_LIMIT, detailed: bool = False
    ) -> Iterator[Any]:
        """List the pools by name."""

    @abstractmethod
    def create(
        self, name: str, weight: int, uri: str, flavor: str | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        """Add the pool, or replace the one of that name.

        ``weight`` is its share of new queues among the pools of its flavor, 0 for none.

        Raises:
            ConfigurationError: the weight is below 0, or no driver knows the URI.
            PoolAlreadyExists: another pool has that URI.
            PoolCapabilitiesMismatch: the flavor promises what that driver cannot do.
        """

    @abstractmethod
    def get(self, name: str, detailed: bool = False) -> Pool:
        """Return the pool.

        Raises:
            PoolDoesNotExist: there is none of that name.
        """

    @abstractmethod
    def get_pools_by_flavor(self, flavor: Flavor | None = None, detailed: bool = False) -> Sequence[Pool]:
        """Return the pools of a flavor (a record with its ``name``), by name; None: those without flavor."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Tell whether there is such a pool."""

    @abstractmethod
    def update(self, name: str, **kwargs: Any) -> None:
        """Change ``uri``, ``weight``, ``flavor`` or ``options``; None changes nothing, flavor "" takes it away.

        Raises:
            PoolDoesNotExist: there is none of that name.
            ConfigurationError: as for :meth:`create`; or nothing to change is named.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove the pool. Idempotent.

        Raises:
            PoolInUse: queues are assigned to it.
            PoolInUseByFlavor: it is the last of a flavor that exists.
        """

    @abstractmethod
    def drop_all(self) -> None:
        """Forget every pool."""


class FlavorsController(ABC):
    """Knows the flavors of each project."""

    @abstractmethod
    def list(
        self, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT, detailed: bool = False
    ) -> Iterator[Any]:
        """List the flavors by name."""

    @abstractmethod
    def create(self, name: str, project: Project = None, capabilities: Iterable[str] | None = None) -> None:
        """Add the flavor, or replace the one of that name."""

    @abstractmethod
    def get(self, name: str, project: Project = None, detailed: bool = False) -> Flavor:
        """Return the flavor.

        Raises:
            FlavorDoesNotExist: there is none of that name.
        """

    @abstractmethod
    def exists(self, name: str, project: Project = None) -> bool:
        """Tell whether there is such a flavor."""

    @abstractmethod
    def update(self, name: str, project: Project = None, capabilities: Iterable[str] | None = None) -> None:
        """Replace its capabilities.

        Raises:
            FlavorDoesNotExist: there is none of that name.
            ConfigurationError: no capabilities are given.
        """

    @abstractmethod
    def delete(self, name: str, project: Project = None) -> None:
        """Remove the flavor. Idempotent."""

    @abstractmethod
    def drop_all(self) -> None:
        """Forget every flavor."""


class CatalogueController(ABC):
    """Knows which pool each queue is assigned to. The project comes first here, as in Zaqar."""

    @abstractmethod
    def list(self, project: Project) -> Sequence[CatalogueEntry]:
        """Return the project's entries, by queue."""

    @abstractmethod
    def get(self, project: Project, queue: str) -> CatalogueEntry:
        """Return the entry.

        Raises:
            QueueNotMapped: there is none.
        """

    @abstractmethod
    def exists(self, project: Project, queue: str) -> bool:
        """Tell whether the queue is assigned."""

    @abstractmethod
    def insert(self, project: Project, queue: str, pool: str) -> None:
        """Assign the queue, whatever it was assigned to.

        Raises:
            PoolDoesNotExist: there is no such pool.
        """

    @abstractmethod
    def delete(self, project: Project, queue: str) -> None:
        """Remove the entry. Idempotent."""

    @abstractmethod
    def update(self, project: Project, queue: str, pool: str | None = None) -> None:
        """Assign the queue to another pool.

        Raises:
            QueueNotMapped: there is no entry.
            PoolDoesNotExist: there is no such pool.
        """

    @abstractmethod
    def drop_all(self) -> None:
        """Forget every entry."""

    # Ours, beyond Zaqar's.

    @abstractmethod
    def insert_if_absent(self, project: Project, queue: str, pool: str) -> str:
        """Assign the queue unless it is assigned already, in one step; return the pool that it is assigned to now.

        Raises:
            PoolDoesNotExist: there is no such pool; nothing was written.
        """


class BindingsController(ABC):
    """Knows the exchanges and what is bound to them. Names of queues need not exist."""

    #: How long a generation may be trusted without asking again, in seconds: 0 where asking costs next to nothing.
    trust: float = 0.0

    @abstractmethod
    def create_exchange(
        self,
        name: str,
        type: str,
        durable: bool = True,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        project: Project = None,
    ) -> bool:
        """Add the exchange and return True; an existing one is left as it is: False."""

    @abstractmethod
    def get_exchange(self, name: str, project: Project = None) -> Exchange:
        """Return the exchange.

        Raises:
            ExchangeDoesNotExist: there is none of that name.
        """

    @abstractmethod
    def list_exchanges(self, project: Project = None) -> Sequence[Exchange]:
        """Return the project's exchanges, by name."""

    @abstractmethod
    def delete_exchange(self, name: str, project: Project = None) -> None:
        """Remove the exchange, with the bindings from it and to it. Idempotent."""

    @abstractmethod
    def generation(self, exchange: str, project: Project = None) -> int:
        """Return a number that was never used before the last change to the exchange or its bindings; absent: 0."""

    @abstractmethod
    def bind(
        self,
        exchange: str,
        destination: str,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        destination_type: str = "queue",
        project: Project = None,
    ) -> bool:
        """Add a binding and return True; False when the same one is there.

        Raises:
            ExchangeDoesNotExist: of the exchange, or of a destination that is one.
        """

    @abstractmethod
    def unbind(
        self,
        exchange: str,
        destination: str,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        destination_type: str = "queue",
        project: Project = None,
    ) -> bool:
        """Remove that one binding; False when it was not there."""

    @abstractmethod
    def unbind_queue(self, queue: str, project: Project = None) -> Sequence[str]:
        """Remove all bindings to the queue; return the names of the exchanges that they came from."""

    @abstractmethod
    def list(self, exchange: str | None = None, project: Project = None) -> Sequence[Binding]:
        """Return the bindings of one exchange or, with None, of the project, in the order in which they were made."""


class ConsumersController(ABC):
    """Knows which holders of queues live, and which queues nobody has used for too long.

    A holder is a consumer, or a connection that owns an exclusive queue. It lives while it is renewed. What is left by
    holders that died is told by :meth:`abandoned`.
    """

    @abstractmethod
    def set_lifetime(self, queue: str, after: float, project: Project = None, from_now: bool = False) -> None:
        """Let the queue be abandoned ``after`` seconds without a living holder.

        ``from_now``: the seconds count from now on; otherwise only once it has had a holder.
        """

    @abstractmethod
    def touch(self, queue: str, project: Project = None) -> None:
        """Count the seconds of a queue with a lifetime that counts already from now."""

    @abstractmethod
    def attach(
        self, queue: str, holder: str, ttl: float, project: Project = None, consuming: bool = True
    ) -> None:
        """Let the holder live ``ttl`` seconds from now; only ``consuming`` ones are counted by :meth:`count`."""

    @abstractmethod
    def renew(self, holders: Sequence[str], ttl: float) -> None:
        """Let all these holders live ``ttl`` seconds from now, even those that had died."""

    @abstractmethod
    def detach(self, holders: Sequence[str]) -> None:
        """End these holders now. Idempotent."""

    @abstractmethod
    def count(self, queue: str, project: Project = None) -> int:
        """Count the queue's living consumers."""

    @abstractmethod
    def abandoned(self, limit: int = 100) -> Sequence[tuple[Project, str]]:
        """Return (project, queue) of queues that nobody has held for longer than their lifetime."""

    @abstractmethod
    def forget(self, queue: str, project: Project = None) -> None:
        """Forget the queue's lifetime and its holders. Idempotent."""


class ControlDriver(ABC):
    """A control store."""

    #: The URI that opens this store from any working directory, with its password.
    uri: str
    queue_controller: QueueController
    pools_controller: PoolsController
    flavors_controller: FlavorsController
    catalogue_controller: CatalogueController
    bindings_controller: BindingsController
    consumers_controller: ConsumersController

    @abstractmethod
    def close(self) -> None:
        """Close the store. Idempotent."""
