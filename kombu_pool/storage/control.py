"""The contract of the control plane: pools, flavors, the catalogue, exchanges and who holds which queue."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from kombu_pool.storage.queue_metadata import DEFAULT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kombu_pool.model import Binding, CatalogueEntry, Exchange, Flavor, Pool, Project
    from kombu_pool.storage.queues import QueueController


class PoolsController(ABC):
    """Knows the pools."""

    @abstractmethod
    def list(self, marker: str | None = None, limit: int = DEFAULT_LIMIT, detailed: bool = False) -> Iterator[Any]:
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
    holders that died is told by :meth:`expired_queues`.
    """

    #: Seconds between two looks for abandoned queues: few where they cost next to nothing.
    poll_interval: float = 2.0

    @abstractmethod
    def set_lifetime(self, queue: str, after: float, project: Project = None, from_now: bool = False) -> None:
        """Let the queue be abandoned ``after`` seconds without a living holder.

        ``from_now``: the seconds count from now on; otherwise only once it has had a holder.
        """

    @abstractmethod
    def touch(self, queue: str, project: Project = None) -> None:
        """Count the seconds of a queue with a lifetime that counts already from now."""

    @abstractmethod
    def add_holder(self, queue: str, holder: str, ttl: float, project: Project = None, consuming: bool = True) -> None:
        """Let the holder live ``ttl`` seconds from now; only ``consuming`` ones are counted by :meth:`count`."""

    @abstractmethod
    def renew(self, holders: Sequence[str], ttl: float) -> None:
        """Let all these holders live ``ttl`` seconds from now, even those that had died."""

    @abstractmethod
    def remove_holders(self, holders: Sequence[str]) -> None:
        """End these holders now. Idempotent."""

    @abstractmethod
    def count(self, queue: str, project: Project = None) -> int:
        """Count the queue's living consumers."""

    @abstractmethod
    def expired_queues(self, limit: int = 100) -> Sequence[tuple[Project, str]]:
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

    @property
    def identity(self) -> str:
        """The id of the store, as :attr:`DataDriver.identity` is; "" if it has none."""
        return ""

    def epoch(self) -> str:
        """Ask the store for a text that changes only when it has lost all that it held.

        A store that cannot lose what it holds while somebody uses it answers "".
        """
        self.catalogue_controller.exists(None, "")
        return ""

    @abstractmethod
    def close(self) -> None:
        """Close the store. Idempotent."""
