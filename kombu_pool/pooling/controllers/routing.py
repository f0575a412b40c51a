"""The base of the routing controllers: finds the pool of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from kombu_pool.errors import KombuPoolError, PoolUnavailable, QueueDoesNotExist
from kombu_pool.storage.counters import Counter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kombu_pool.model import Message, Project
    from kombu_pool.pooling.catalog import Catalog
    from kombu_pool.pooling.pool_handle import PoolHandle

    T = TypeVar("T")
    Named = TypeVar("Named", bound=tuple[Project, str] | tuple[Project, str, str])


class Routing:
    """Finds the pool of a queue in a catalog; that of a queue without an assignment is empty."""

    def __init__(self, pool_catalog: Catalog) -> None:
        self._catalog = pool_catalog
        self._pool = pool_catalog.pool
        self._route = pool_catalog.route
        self._count = pool_catalog.counters.add

    def _count_claimed(
        self, project: Project, queue: str, incarnation: str | None, messages: Sequence[Message]
    ) -> None:
        if messages:
            self._count(project, queue, incarnation, Counter.DELIVERED, len(messages))
            # A list: a generator takes three times as long, for each message.
            again = len([1 for message in messages if message["claim_count"] > 1])
            self._count(project, queue, incarnation, Counter.REDELIVERED, again)

    def _in_present_pool(self, queue: str, project: Project, call: Callable[[PoolHandle], T]) -> T:
        """Change in the pool of a queue what a move takes along; repeat the call if the queue has moved meanwhile.

        Raises:
            QueueDoesNotExist: there is no such queue.
        """
        current, refused = self._catalog.lives.current, None
        while True:
            pool, present = current(queue, project, refused)
            refused = None
            try:
                with pool:
                    result = call(pool)
            except QueueDoesNotExist:
                refused = present
                continue
            if current(queue, project, None)[1] == present:
                return result

    def _in_each_pool(self, named: Iterable[Named], call: Callable[[PoolHandle, Sequence[Named]], None]) -> None:
        """Make a call in each pool, with those of the tuples, which begin with project and queue, that are of the pool.

        A pool that does not answer keeps no other one from its call; then its error is raised.
        """
        pools: dict[PoolHandle, list[Named]] = {}
        failure: KombuPoolError | None = None
        for each in named:
            try:
                pool = self._pool(each[1], each[0])
            except PoolUnavailable as error:
                failure = error
            else:
                pools.setdefault(pool, []).append(each)
        for pool, of_pool in pools.items():
            try:
                with pool:
                    call(pool, of_pool)
            except KombuPoolError as error:
                failure = error
        if failure is not None:
            raise failure
