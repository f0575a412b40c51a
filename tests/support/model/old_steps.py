"""Steps that keep a queue's life in three places, as pooling once did: the checker must find their faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool import errors
from tests.support.model.world import POOLS, QUEUE, Operations

if TYPE_CHECKING:
    from kombu_pool.model import Expiry
    from kombu_pool.pooling.pool_handle import PoolHandle


class OldOperations(Operations):
    """Declares, posts and deletes without an incarnation."""

    def declare(self, expiry: Expiry | None = None) -> bool:
        created: bool = self._act("declare", self._declare)
        return created

    def _declare(self) -> bool:
        control = self.driver.control
        name = self._assigned() or control.catalogue_controller.insert_if_absent(None, QUEUE, POOLS[self.number % 2])
        pool = self._pool(name)
        in_pool, in_control = pool.queues.create(QUEUE), control.queue_controller.create(QUEUE)
        if in_pool != in_control and control.queue_controller.exists(QUEUE):
            pool.queues.create(QUEUE)
        return in_control

    def post(self, body: str) -> bool:
        def call() -> bool:
            name = self.cached or self._assigned()
            try:
                return name is not None and self._post(self._pool(name), body)
            except errors.QueueDoesNotExist:
                pass
            name = self._assigned()
            if name is None or not self.driver.control.queue_controller.exists(QUEUE):
                return False
            self._pool(name).queues.create(QUEUE)
            return self._post(self._pool(name), body)

        stored: bool = self._act("post", call, body)
        return stored

    def delete(self) -> None:
        def call() -> None:
            name = self._assigned()
            if name is not None:
                self._pool(name).queues.delete(QUEUE)
            self.driver.control.queue_controller.delete(QUEUE)
            self.driver.control.catalogue_controller.delete(None, QUEUE)

        self._act("delete", call)

    def _post(self, pool: PoolHandle, body: str) -> bool:
        pool.messages.post(QUEUE, [{"ttl": 0, "body": body}], None)
        return True

    def _assigned(self) -> str | None:
        try:
            return self.driver.control.catalogue_controller.get(None, QUEUE)["pool"]
        except errors.QueueNotMapped:
            return None

    def _pool(self, name: str) -> PoolHandle:
        return self.driver.catalog.open_pools.get(name)
