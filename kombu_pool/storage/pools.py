"""The contract of the pools and flavors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from kombu_pool.storage.queue_metadata import DEFAULT_LIMIT, is_found

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.model import Flavor, Pool, Project, RequiredCapabilities


class PoolsController(ABC):
    """The pools. That of the name ``CONTROL_POOL`` is reserved: weight 0, no flavor, the option ``VIRTUAL`` alone."""

    @abstractmethod
    def list(self, marker: str | None = None, limit: int = DEFAULT_LIMIT, detailed: bool = False) -> Iterator[Any]:
        """List the pools by name."""

    @abstractmethod
    def create(
        self, name: str, weight: int, uri: str, flavor: str | None = None, options: Mapping[str, Any] | None = None
    ) -> None:
        """Store the pool, in place of any pool of that name.

        ``weight`` is its share of new queues among the pools of its flavor; 0: it gets none. ``uri`` is any text: it is
        checked where people write it, and when the pool is opened.

        Raises:
            ConfigurationError: the weight is below 0, or an option cannot be stored.
            PoolAlreadyExists: another pool, which is not the reserved one, has that URI.
            PoolIsReserved: it is the reserved pool, with other values.
            PoolCapabilitiesMismatch: a driver serves the URI, and lacks a capability of the flavor.
        """

    def create_if_absent(
        self,
        name: str,
        weight: int,
        uri: str,
        flavor: str | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        restore: bool = False,
    ) -> bool:
        """Store the pool if there is none of that name, and return whether it was stored.

        A pool that was deleted is stored only with ``restore``. A driver overrides it to look and store in one step:
        the default overwrites a pool that another process creates between the two. Raises as :meth:`create`.
        """
        if self.exists(name) or (not restore and self.is_removed(name)):
            return False
        self.create(name, weight, uri, flavor, options)
        return True

    @abstractmethod
    def get(self, name: str, detailed: bool = False) -> Pool:
        """Return the pool.

        Raises:
            PoolDoesNotExist: there is no pool of that name.
        """

    def get_pools_by_flavor(self, flavor: Flavor | None = None, detailed: bool = False) -> Iterator[Pool]:
        """Return the pools of a flavor (a record with its ``name``), by name; None: the pools without a flavor."""
        name = None if flavor is None else flavor["name"]
        return (pool for pool in next(self.list(limit=0, detailed=detailed)) if pool["flavor"] == name)

    def exists(self, name: str) -> bool:
        """Return whether the pool exists."""
        return is_found(self.get, name)

    @abstractmethod
    def update(self, name: str, **kwargs: Any) -> None:
        """Change ``uri``, ``weight``, ``flavor`` or ``options``; None changes nothing, flavor "" removes the flavor.

        Raises:
            PoolDoesNotExist: there is no pool of that name.
            NothingToChange: no change is named.
            PoolIsReserved: it is the reserved pool.
            ConfigurationError: an unknown change is named; or as for :meth:`create`, like the other errors.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete the pool. Idempotent.

        Raises:
            PoolInUse: queues are assigned to it.
            PoolIsReserved: it is the reserved pool.
            PoolInUseByFlavor: it is the last pool of an existing flavor.
        """

    def is_removed(self, name: str) -> bool:
        """Return whether the pool was deleted and not created again; False where the store does not keep that."""
        return False

    def require_unused(self, name: str) -> None:  # noqa: B027 - a store that cannot tell raises nothing
        """Raise PoolInUse if queues are assigned to the pool."""

    @abstractmethod
    def drop_all(self) -> None:
        """Delete every pool."""


class FlavorsController(ABC):
    """The flavors of each project."""

    @abstractmethod
    def list(
        self, project: Project = None, marker: str | None = None, limit: int = DEFAULT_LIMIT, detailed: bool = False
    ) -> Iterator[Any]:
        """List the flavors by name."""

    @abstractmethod
    def create(self, name: str, project: Project = None, capabilities: RequiredCapabilities | None = None) -> None:
        """Store the flavor, in place of any flavor of that name.

        ``capabilities``: the names of required :class:`~kombu_pool.model.Capabilities`, in any case; of a mapping those
        whose value is true. They are returned as they are given; None: as ``{}``.
        """

    def create_if_absent(
        self, name: str, project: Project = None, capabilities: RequiredCapabilities | None = None
    ) -> bool:
        """Store the flavor if there is none of that name, and return whether it was stored.

        A driver overrides it to look and store in one step, as :meth:`PoolsController.create_if_absent`.
        """
        if self.exists(name, project=project):
            return False
        self.create(name, project=project, capabilities=capabilities)
        return True

    @abstractmethod
    def get(self, name: str, project: Project = None, detailed: bool = False) -> Flavor:
        """Return the flavor.

        Raises:
            FlavorDoesNotExist: there is no flavor of that name.
        """

    def exists(self, name: str, project: Project = None) -> bool:
        """Return whether the flavor exists."""
        return is_found(self.get, name, project)

    @abstractmethod
    def update(self, name: str, project: Project = None, capabilities: RequiredCapabilities | None = None) -> None:
        """Replace the flavor's capabilities.

        Raises:
            FlavorDoesNotExist: there is no flavor of that name.
            NothingToChange: ``capabilities`` is None.
        """

    @abstractmethod
    def delete(self, name: str, project: Project = None) -> None:
        """Delete the flavor. Idempotent."""

    @abstractmethod
    def drop_all(self) -> None:
        """Delete every flavor."""
