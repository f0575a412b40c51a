"""The two pools of a queue that is moving."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kombu_pool.pooling.pool_handle import PoolHandle

T = TypeVar("T")


class Sides:
    """The source, which is opened when it is used, and the target."""

    def __init__(self, open_source: Callable[[], PoolHandle], target: PoolHandle, now: Callable[[], float]) -> None:
        #: Return the time by the catalog's clock.
        self.now = now
        self._open_source = open_source
        self.target = target

    @contextmanager
    def source(self) -> Iterator[PoolHandle]:
        """Return the source as the context of a call."""
        with self._open_source() as source:
            yield source

    def both(self, call: Callable[[PoolHandle], T]) -> tuple[T, T]:
        """Make a call in the source and then in the target; return both answers."""
        with self.source() as source:
            first = call(source)
        with self.target as target:
            return first, call(target)

    def first_answer(self, call: Callable[[PoolHandle], T], is_answer: Callable[[T], bool]) -> T:
        """Make a call in the source and, if that has no answer, in the target."""
        with self.source() as source:
            found = call(source)
        if is_answer(found):
            return found
        with self.target as target:
            return call(target)

    def rest(
        self, call: Callable[[PoolHandle, Sequence[tuple[str, str]]], Sequence[tuple[str, str]]],
        held: Sequence[tuple[str, str]],
    ) -> Sequence[tuple[str, str]]:  # fmt: skip
        """Make a call in the source and, with what that refused, in the target; return what both refused."""
        with self.source() as source:
            refused = call(source, held)
        if not refused:
            return refused
        with self.target as target:
            return call(target, refused)
