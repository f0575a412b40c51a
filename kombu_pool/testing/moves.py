"""The two queues of a move under test, and its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.storage.moving import BATCH_SIZE, sealed_incarnation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.moves import MovedMessage
    from kombu_pool.testing.handles import QueueHandle

SEALED = sealed_incarnation()
PROJECT = "p"


def seal(queue: QueueHandle, **metadata: Any) -> None:
    """Seal the source."""
    queues = queue.driver.queue_controller
    queues.create(queue.name, metadata, PROJECT, incarnation=SEALED, replaces="present")


def take(queue: QueueHandle, limit: int = BATCH_SIZE, *, delayed: bool = False) -> Sequence[MovedMessage]:
    """Put a batch of the source aside, or return the one that is."""
    moves = queue.driver.move_controller
    return moves.take(queue.name, PROJECT, limit, incarnation=SEALED, delayed=delayed)


def store(queue: QueueHandle, batch: Sequence[MovedMessage], epoch: int = 1) -> None:
    """Store a batch in the target."""
    queue.driver.move_controller.store(queue.name, batch, PROJECT, incarnation="opened", epoch=epoch)


def remove(queue: QueueHandle, batch: Sequence[MovedMessage]) -> None:
    """Remove a batch from the source."""
    ids = [message.id for message in batch]
    queue.driver.move_controller.remove(queue.name, ids, PROJECT, incarnation=SEALED)


def remaining(queue: QueueHandle) -> int:
    """Count what is left in the source."""
    return queue.driver.move_controller.remaining(queue.name, PROJECT, incarnation=SEALED)


def move(source: QueueHandle, target: QueueHandle) -> None:
    """Move the messages of the source that no claim holds."""
    while batch := take(source):
        store(target, batch)
        remove(source, batch)
