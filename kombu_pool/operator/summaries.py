"""Bodies and names in one line, without secrets and control characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers import mask
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.transport.publish.envelope import enveloped
from kombu_pool.transport.upkeep.dead_letters import RABBITMQ_REASONS

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The reason in ``x-death`` -> the reason in a store. Unreadable records have none: they cannot be requeued.
REASONS = {
    RABBITMQ_REASONS.get(reason, reason): reason
    for reason in (
        DeadLetterReason.DELIVERY_LIMIT,
        DeadLetterReason.EXPIRED,
        DeadLetterReason.MAX_LENGTH,
        DeadLetterReason.REJECTED,
    )
}
#: The reason of records that cannot be decoded, which can only be deleted.
UNREADABLE = {DeadLetterReason.UNREADABLE: DeadLetterReason.UNREADABLE}
#: Longest printed summary, in characters.
_MAX_WIDTH = 60
#: Number of characters of a body that are read for its summary.
_MAX_READ = 1000


def reason_name(stored: str) -> str:
    """Return the ``x-death`` name of a reason in a store."""
    return RABBITMQ_REASONS.get(stored, stored)


def join_names(names: Iterable[str]) -> str:
    """Return the names, each once and sorted, in one line."""
    return ", ".join(printable(name) for name in sorted(set(names)))


def task_of(body: Any) -> tuple[str | None, str | None]:
    """Return the name and the id of the task in a body; None if it is no task."""
    headers = enveloped(body, "")["headers"]
    name, task_id = headers.get("task"), headers.get("id")
    return None if name is None else str(name), None if task_id is None else str(task_id)


def body_summary(body: Any, reason: str) -> str:
    """Return the beginning of a body; for a task, its name and the producer's ``argsrepr`` and ``kwargsrepr``."""
    if reason == DeadLetterReason.UNREADABLE and isinstance(body, dict):
        return _short(str(body.get("error", "")))
    envelope = enveloped(body, "")
    headers = envelope["headers"]
    if "task" in headers:
        arguments = (headers.get(name) for name in ("argsrepr", "kwargsrepr"))
        return _short(" ".join(str(part) for part in (headers["task"], *arguments) if part is not None))
    payload = envelope["body"][:_MAX_READ]
    return _short(payload.decode("utf-8", "backslashreplace") if isinstance(payload, bytes) else payload)


def _short(text: str) -> str:
    shown = printable(mask(text[:_MAX_READ]))
    return shown if len(shown) <= _MAX_WIDTH else f"{shown[: _MAX_WIDTH - 1]}…"


def printable(text: str) -> str:
    """Replace control characters, which could break a line or move a cursor, by spaces."""
    return "".join(character if character.isprintable() else " " for character in text)
