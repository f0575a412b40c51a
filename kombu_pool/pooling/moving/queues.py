"""The queue controller of a queue that is moving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool import errors
from kombu_pool.storage import DEFAULT_LIMIT, QueueController

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.model import Metadata, Project
    from kombu_pool.pooling.moving.sides import Sides
    from kombu_pool.pooling.pool_handle import PoolHandle


class MovingQueues(QueueController):
    """Counts what both pools hold, and pauses both; all else is the target's."""

    def __init__(self, sides: Sides) -> None:
        self._sides = sides

    def list(
        self,
        project: Project = None,
        kfilter: Mapping[str, Any] = {},
        marker: str | None = None,
        limit: int = DEFAULT_LIMIT,
        detailed: bool = False,
        name: str | None = None,
    ) -> Iterator[Any]:
        with self._sides.target as target:
            return target.queues.list(project, kfilter, marker, limit, detailed, name)

    def get(self, name: str, project: Project = None) -> Metadata:
        with self._sides.target as target:
            return target.queues.get(name, project)

    def create(
        self,
        name: str,
        metadata: Metadata | None = None,
        project: Project = None,
        *,
        incarnation: str | None = None,
        replaces: str | None = None,
    ) -> bool:
        with self._sides.target as target:
            return target.queues.create(name, metadata, project, incarnation=incarnation, replaces=replaces)

    def delete(self, name: str, project: Project = None, *, incarnation: str | None = None) -> None:
        self._sides.both(lambda pool: pool.queues.delete(name, project, incarnation=incarnation))

    def set_metadata(self, name: str, metadata: Metadata, project: Project = None) -> None:
        def change(pool: PoolHandle) -> None:
            pool.queues.set_metadata(name, metadata, project)

        self._in_source_if_there(change)
        with self._sides.target as target:
            change(target)

    def pause(self, name: str, project: Project = None) -> None:
        self._in_source_if_there(lambda pool: pool.queues.pause(name, project))
        with self._sides.target as target:
            target.queues.pause(name, project)

    def resume(self, name: str, project: Project = None) -> None:
        self._in_source_if_there(lambda pool: pool.queues.resume(name, project))
        with self._sides.target as target:
            target.queues.resume(name, project)

    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        def stats(pool: PoolHandle) -> dict[str, Any]:
            return pool.queues.stats(name, project)

        with self._sides.target as target:
            there = stats(target)
        try:
            with self._sides.source() as source:
                here = stats(source)
        except errors.QueueDoesNotExist:
            return there
        return {**there, "messages": _together(here["messages"], there["messages"])}

    def _in_source_if_there(self, call: Any) -> None:
        try:
            with self._sides.source() as source:
                call(source)
        except errors.QueueDoesNotExist:
            pass


def _together(source: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
    """Return the messages of two queues as those of one."""
    counts = {name: source[name] + target[name] for name in ("claimed", "free", "total")}
    ends = {}
    for end, pick in (("oldest", max), ("newest", min)):
        present = [messages[end] for messages in (source, target) if end in messages]
        if present:
            ends[end] = pick(present, key=lambda message: message["age"])
    return {**counts, **ends}
