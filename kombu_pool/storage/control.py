"""The contract of the control plane: pools, flavors, exchanges, and the holders of queues."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool.errors import ExchangeDoesNotExist, QueueDoesNotExist
from kombu_pool.storage.counters import CounterMethods
from kombu_pool.storage.inspection import ConsumerInspection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.model import Assignment, Binding, Exchange, Metadata, Project
    from kombu_pool.storage.catalogue import CatalogueController
    from kombu_pool.storage.pools import FlavorsController, PoolsController
    from kombu_pool.storage.queues import QueueController

#: Option of a pool that is the control store itself: its URI is always that of the control store.
VIRTUAL = "virtual"
#: The reserved pool for control queues, which is the control store itself.
CONTROL_POOL = "kombu_pool.control"


class BindingsController(ABC):
    """The exchanges and their bindings. A bound queue need not exist."""

    #: Longest use of a cached generation, in seconds; 0 where reading it costs next to nothing.
    generation_ttl: float = 0.0

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
        """Create the exchange and return True; return False, without a change, if it exists."""

    @abstractmethod
    def get_exchange(self, name: str, project: Project = None) -> Exchange:
        """Return the exchange.

        Raises:
            ExchangeDoesNotExist: there is no exchange of that name.
        """

    @abstractmethod
    def list_exchanges(self, project: Project = None) -> Sequence[Exchange]:
        """Return the project's exchanges, by name."""

    @abstractmethod
    def delete_exchange(self, name: str, project: Project = None) -> None:
        """Delete the exchange, with the bindings from it and to it. Idempotent."""

    def generation(self, exchange: str, project: Project = None) -> int:
        """Return a number that changes with the exchange and its bindings and never repeats; 0 for an absent one."""
        try:
            return self.get_exchange(exchange, project)["generation"]
        except ExchangeDoesNotExist:
            return 0

    @abstractmethod
    def bind(
        self,
        exchange: str,
        destination: str,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        destination_type: str = "queue",
        project: Project = None,
        *,
        incarnation: str | None = None,
    ) -> bool:
        """Add a binding and return True; return False if the same binding exists.

        Raises:
            ExchangeDoesNotExist: the exchange does not exist, or a destination exchange does not.
            QueueDoesNotExist: an ``incarnation`` is given that the destination queue's assignment has not, or that is
                DELETING; nothing is changed.
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
        """Remove that one binding and return True; return False if it does not exist."""

    @abstractmethod
    def unbind_queue(self, queue: str, project: Project = None, *, incarnation: str | None = None) -> Sequence[str]:
        """Remove all bindings to the queue; return the names of the exchanges that they came from.

        With an ``incarnation`` only while the queue's assignment has it, and is DELETING: never a binding of a later
        life.
        """

    def unbind_queues(self, queues: Sequence[tuple[Project, str, str]]) -> Mapping[Project, Sequence[str]]:
        """Remove the bindings of queues, each given as (project, name, incarnation), as :meth:`unbind_queue` does.

        Returns the names of the exchanges that they came from, by project.
        """
        sources: dict[Project, dict[str, None]] = {}
        for project, queue, incarnation in queues:
            found = self.unbind_queue(queue, project, incarnation=incarnation)
            sources.setdefault(project, {}).update(dict.fromkeys(found))
        return {project: [*names] for project, names in sources.items()}

    @abstractmethod
    def list(self, exchange: str | None = None, project: Project = None) -> Sequence[Binding]:
        """Return the bindings of one exchange or, with None, of the project, in the order in which they were made."""


class ConsumersController(ConsumerInspection, ABC):
    """The holders of queues, and the queues whose lifetime without a holder is over.

    A holder is a consumer, or a connection that owns an exclusive queue. It is live while it is renewed.
    :meth:`expired_queues` returns the queues that dead holders left behind.
    """

    #: Interval at which a consuming process asks for due maintenance, in seconds: it finds nothing older than a second.
    poll_interval: float = 0.75

    @abstractmethod
    def set_lifetime(self, queue: str, after: float, project: Project = None, from_now: bool = False) -> None:
        """Set the queue's lifetime: it expires ``after`` seconds without a live holder.

        With ``from_now`` the seconds count from now; otherwise only once the queue has had a holder.
        """

    @abstractmethod
    def touch(self, queue: str, project: Project = None) -> bool:
        """Restart the lifetime of a queue whose lifetime counts already; return False if the queue has expired."""

    @abstractmethod
    def add_holder(
        self,
        queue: str,
        holder: str,
        ttl: float,
        project: Project = None,
        consuming: bool = True,
        *,
        incarnation: str | None = None,
    ) -> bool:
        """Add a holder that is live for ``ttl`` seconds; :meth:`count` counts only ``consuming`` ones.

        Returns False, without a change, if an ``incarnation`` is given that the queue's assignment has not, or that is
        DELETING or EXPIRED: the holder would hold nothing.
        """

    @abstractmethod
    def renew(self, holders: Sequence[str], ttl: float) -> Sequence[str]:
        """Renew the holders for ``ttl`` seconds from now, dead ones too; return those that hold no queue any more."""

    @abstractmethod
    def holders(self, prefix: str) -> Sequence[str]:
        """Return the names of the live holders that begin with ``prefix``, each once."""

    @abstractmethod
    def remove_holders(self, holders: Sequence[str]) -> None:
        """Remove the holders now. Idempotent."""

    @abstractmethod
    def count(self, queue: str, project: Project = None) -> int:
        """Count the queue's live consumers."""

    @abstractmethod
    def expired_queues(self, limit: int = 100) -> Sequence[tuple[Project, str]]:
        """Return (project, queue) of queues that have been without a live holder for longer than their lifetime."""

    @abstractmethod
    def expire(self, queue: str, project: Project = None, *, unused: str | None = None) -> bool:
        """Begin the deletion of the queue if it still has been without a live holder for longer than its lifetime.

        In one step, as :meth:`CatalogueController.begin_deletion` does; of a queue without an assignment the lifetime
        and the holders are deleted. ``unused``: an incarnation; if the queue has it, it need only be without a live
        consumer now, whatever its lifetime and its other holders; if not, nothing is changed. Returns whether it had
        expired.
        """

    def expire_many(self, queues: Sequence[tuple[Project, str]]) -> Sequence[tuple[Project, str]]:
        """Begin the deletion of those of the queues that have expired, as :meth:`expire` does; return those."""
        return [(project, queue) for project, queue in queues if self.expire(queue, project)]


class DueMaintenance(NamedTuple):
    """What a process asks a control store for, again and again."""

    #: The result of :meth:`ControlDriver.epoch`.
    epoch: str
    #: The result of :meth:`ConsumersController.expired_queues`.
    expired: Sequence[tuple[Project, str]]
    #: The result of :meth:`CatalogueController.deletions`.
    deletions: Sequence[tuple[Project, str, Assignment]]
    #: The result of :meth:`ConsumersController.holders`.
    holders: Sequence[str]
    #: Whether :meth:`CatalogueController.moves` has any result.
    has_moves: bool


class QueueLookup(NamedTuple):
    """What a control store tells of a queue."""

    #: The result of :meth:`CatalogueController.find_until`.
    assignment: Assignment | None
    expires: float
    #: The result of :meth:`QueueController.get`; None if there is no such queue.
    metadata: Metadata | None


class ControlDriver(CounterMethods, ABC):
    """A control store."""

    #: The URI that opens this store from any working directory, with its password.
    uri: str
    queue_controller: QueueController
    pools_controller: PoolsController
    flavors_controller: FlavorsController
    catalogue_controller: CatalogueController
    bindings_controller: BindingsController
    consumers_controller: ConsumersController

    @property
    def identity(self) -> str:
        """The id of the store, as :attr:`DataDriver.identity` is; "" if it has none."""
        return ""

    def epoch(self) -> str:
        """Return the store's epoch: a text that changes only when the store has lost its content.

        A store that cannot lose its content while it is in use returns "".
        """
        self.catalogue_controller.exists(None, "")
        return ""

    def look_up(self, queue: str, project: Project = None) -> QueueLookup:
        """Return a queue's assignment, when it expires, and its metadata. In one round trip if possible."""
        assignment, expires = self.catalogue_controller.find_until(project, queue)
        try:
            return QueueLookup(assignment, expires, self.queue_controller.get(queue, project))
        except QueueDoesNotExist:
            return QueueLookup(assignment, expires, None)

    def due_maintenance(self, prefix: str = "") -> DueMaintenance:
        """Return the epoch, expired queues, those that are DELETING, live holders with ``prefix``, and if any moves.

        In one round trip if possible. Without a prefix no holders are returned.
        """
        consumers = self.consumers_controller
        return DueMaintenance(
            self.epoch(),
            consumers.expired_queues(),
            self.catalogue_controller.deletions(),
            consumers.holders(prefix) if prefix else (),
            bool(self.catalogue_controller.moves(1)),
        )

    @abstractmethod
    def close(self) -> None:
        """Close the store. Idempotent."""
