"""Unique messages that are posted while their queue is moving: a message in the source may hold their id."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from kombu_pool import errors
from kombu_pool.model import EXTEND, REPLACE, PresentId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.model import NewMessage, Project
    from kombu_pool.pooling.moving.sides import Sides
    from kombu_pool.pooling.pool_handle import PoolHandle


def displaced(sides: Sides, queue: str, messages: Sequence[NewMessage], project: Project) -> Sequence[PresentId | None]:
    """Return for each message the id of the one in the source in whose place it is dropped; None if it is stored.

    A message is in the source, or put aside there, until it is in the target: so the source is asked first.
    """
    if all(message.get("unique") is None for message in messages):
        return [None] * len(messages)
    with sides.source() as source:
        return [_present(source, queue, message, project, sides.now()) for message in messages]


def restored(present: Sequence[PresentId | None], stored: Sequence[str]) -> Sequence[str]:
    """Return the ids of all messages, given those of the stored ones."""
    each = iter(stored)
    return [next(each) if held is None else held for held in present]


def _present(source: PoolHandle, queue: str, message: NewMessage, project: Project, now: float) -> PresentId | None:
    unique = message.get("unique")
    if unique is None or source.driver is None:
        return None
    held = source.driver.move_controller.unique_holder(queue, unique.id, project)
    key = message.get("key")
    if held is None or (key is not None and held.key == key):
        return None  # The retry of a task is stored, and holds the id in its place.
    if unique.conflict == REPLACE and [*source.messages.bulk_get(queue, [held], project)]:
        with suppress(errors.MessageIsClaimed):
            source.messages.delete(queue, held, project)
            return None
    if unique.conflict == EXTEND and held.key is not None:
        _extend(source, queue, held.key, message.get("delay") or 0.0, project, now)
    return held


def _extend(source: PoolHandle, queue: str, key: str, delay: float, project: Project, now: float) -> None:
    """Delay the message that holds the id until this one would have been due, if that is later."""
    due = now + delay
    for found in source.messages.find(key, queue, project).messages:
        if delay and (found["due"] or 0.0) < due:
            source.messages.change(key, due, None, queue, project)
