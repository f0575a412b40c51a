"""The contract of queues, which both planes have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import NotPermitted
from kombu_pool.storage.queue_metadata import DEFAULT_LIMIT, is_found

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kombu_pool.model import Metadata, Project


class QueueController(ABC):
    """The queues of a store.

    A control store has all queues, a message store those that live in it. In a control store a queue that has expired
    does not exist, though :meth:`list` may name it until it is deleted.
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

        ``kfilter`` keeps queues whose metadata has these values; ``name`` keeps queues whose name contains it. Both
        filters apply before the limit.
        """

    @abstractmethod
    def get(self, name: str, project: Project = None) -> Metadata:
        """Return the queue's metadata.

        Raises:
            QueueDoesNotExist: the queue does not exist.
        """

    def get_metadata(self, name: str, project: Project = None) -> Metadata:
        """Return the queue's metadata, as :meth:`get` does."""
        return self.get(name, project)

    @abstractmethod
    def set_metadata(self, name: str, metadata: Metadata, project: Project = None) -> None:
        """Replace the queue's metadata as a whole.

        Raises:
            QueueDoesNotExist: the queue does not exist.
        """

    @abstractmethod
    def create(
        self,
        name: str,
        metadata: Metadata | None = None,
        project: Project = None,
        *,
        incarnation: str | None = None,
        replaces: str | None = None,
    ) -> bool:
        """Create the queue and return True; return False, without a change, if it exists.

        With an ``incarnation`` the queue bears it, and a queue that bears another one is in the way; one that bears
        ``replaces`` gets the new incarnation and metadata, and keeps its messages.

        Raises:
            IncarnationConflict: a queue of that name bears another incarnation, or none.
        """

    def exists(self, name: str, project: Project = None) -> bool:
        """Return whether the queue exists."""
        return is_found(self.get, name, project)

    @abstractmethod
    def delete(self, name: str, project: Project = None, *, incarnation: str | None = None) -> None:
        """Delete the queue with its content. Idempotent. The time does not depend on the queue's length.

        With an ``incarnation`` only a queue that bears it is deleted. In a message store each watch of the queue wakes.
        """

    def delete_many(self, queues: Sequence[tuple[Project, str, str]]) -> None:
        """Delete queues, each given as (project, name, incarnation), as :meth:`delete` does."""
        for project, name, incarnation in queues:
            self.delete(name, project, incarnation=incarnation)

    def pause(self, name: str, project: Project = None) -> None:
        """Let no consumer claim from the queue until :meth:`resume`. Idempotent.

        ``create``, ``ack_and_claim`` and ``pop`` return nothing, as for an empty queue, from the return of this call
        on. All else goes on: posts, the settlement and the renewal of what is claimed, expiry, reads, dead letters and
        redrives in both directions, and ``claim_by_id``, which names its messages.

        The state is stored with the queue in its pool, and checked in the step that claims. It outlives all processes
        and other metadata; it ends with the queue.

        Raises:
            QueueDoesNotExist: the queue does not exist.
            NotPermitted: the store cannot pause queues, as a control store cannot.
        """
        raise NotPermitted(f"queue {name!r} cannot be paused: its store does not support it")

    def resume(self, name: str, project: Project = None) -> None:
        """Let consumers claim from the queue again, and wake its watches. Idempotent.

        Raises:
            QueueDoesNotExist, NotPermitted: as :meth:`pause`.
        """
        raise NotPermitted(f"queue {name!r} cannot be resumed: its store does not support it")

    @abstractmethod
    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        """Count the queue's messages: ``{"messages": {"claimed", "free", "total", "oldest"?, "newest"?}, "paused"?}``.

        ``free`` counts every message that is not claimed, delayed ones too. ``oldest`` and ``newest`` are present
        unless the queue is empty: ``{"id", "age", "created"}``, ``created`` as ``YYYY-MM-DDTHH:MM:SSZ``. ``paused`` is
        present, and True, while the queue is paused. A control store has no messages: it returns zeros.

        Raises:
            QueueDoesNotExist: the queue does not exist.
        """

    def calculate_resource_count(self, project: Project = None) -> int:
        """Count the project's queues."""
        return len(list(next(self.list(project, limit=0))))
