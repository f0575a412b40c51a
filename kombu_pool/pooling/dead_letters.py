"""Dead letters whose queue lives in another pool than the queue that they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.pooling.controllers.queues import QueueController
from kombu_pool.storage import UNREADABLE_QUEUE

if TYPE_CHECKING:
    from kombu_pool.model import NewMessage, Project
    from kombu_pool.pooling.catalog import Catalog


class DeadLetters:
    """Delivers to whichever pool the catalog says."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def forward(self, project: Project, queue: str, message: NewMessage) -> bool:
        """Store a dead letter in the pool of the dead-letter queue; False when there is no such queue."""
        member = self._catalog.pool(queue, project)
        if member is None and queue == UNREADABLE_QUEUE:
            # Nobody declares it, and what no queue of the catalog holds would never be found.
            QueueController(self._catalog).create(queue, None, project)
            member = self._catalog.pool(queue, project)
        if member is None:
            return False
        with member:
            member.messages.post(queue, [message], None, project)
        return True
