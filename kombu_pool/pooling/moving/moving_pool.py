"""The pool of a queue that is moving, as this process uses it: the target, and the source while that has messages."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from kombu_pool.pooling.moving.claims import MovingClaims
from kombu_pool.pooling.moving.messages import MovingMessages
from kombu_pool.pooling.moving.queues import MovingQueues
from kombu_pool.pooling.moving.sides import Sides
from kombu_pool.pooling.pool_handle import PoolHandle

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class MoveSource(NamedTuple):
    """The pool that a queue leaves, its incarnation there, and whether its messages are being copied."""

    pool: str
    sealed: str
    is_copying: bool


class MovingPool(PoolHandle):
    """A queue in two pools. Posts go to the target; consumers empty the source first; each side settles its own claims.

    Its calls are made within the contexts of the two pools, so its own context does nothing.
    """

    def __init__(
        self,
        target: PoolHandle,
        source: MoveSource,
        open_source: Callable[[], PoolHandle],
        is_copying: Callable[[], bool],
        now: Callable[[], float],
    ) -> None:
        # Not that of the base: the outages are those of the two pools.
        self.name = target.name
        self.lock = threading.Lock()
        self.driver = target.driver
        self.settings = target.settings
        self.read_at = target.read_at
        self.outage = None
        self.source = source
        self.target = target
        sides = Sides(open_source, target, now)
        self.queues = MovingQueues(sides)
        self.messages = MovingMessages(sides)
        self.claims = MovingClaims(sides, source.sealed, is_copying if source.is_copying else _never)
        self.subscriptions = target.subscriptions

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing."""

    def record_error(self, error: BaseException) -> None:
        """Do nothing."""

    def mark_up(self) -> None:
        """Do nothing."""


def _never() -> bool:
    return False
