"""The contract of queues, which both planes have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from kombu_pool.storage.queue_metadata import DEFAULT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.model import Metadata, Project


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
