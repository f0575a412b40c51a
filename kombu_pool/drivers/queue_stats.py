"""The statistics of a queue, as every store shows them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def queue_stats(
    claimed: int, free: int, ends: Sequence[tuple[str, float]], now: float, *, paused: bool
) -> dict[str, Any]:
    """Return what ``QueueController.stats`` promises.

    ``ends`` are the ids and the times of the oldest and the newest message; empty for an empty queue.
    """
    messages: dict[str, Any] = {"claimed": claimed, "free": free, "total": free + claimed}
    for which, (message_id, posted) in zip(("oldest", "newest"), ends, strict=False):
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(posted))
        messages[which] = {"id": message_id, "age": max(0, int(now - posted)), "created": created}
    return {"messages": messages, "paused": True} if paused else {"messages": messages}
