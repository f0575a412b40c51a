"""How a dead letter is shown: in a line, and without what is nobody's business."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers import mask
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.transport.publish.envelope import enveloped
from kombu_pool.transport.upkeep.dead_letters import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable

#: As ``x-death`` says them, and as a store does. What is unreadable cannot be given back.
REASONS = {
    WORDS.get(reason, reason): reason
    for reason in (
        DeadLetterReason.DELIVERY_LIMIT,
        DeadLetterReason.EXPIRED,
        DeadLetterReason.MAX_LENGTH,
        DeadLetterReason.REJECTED,
    )
}
_LONGEST = 60
_ENOUGH = 1000


def reason_of(stored: str) -> str:
    """Return a store's reason in the words of ``x-death``."""
    return WORDS.get(stored, stored)


def listed(names: Iterable[str]) -> str:
    """Return some names, each once, in a line."""
    return ", ".join(printable(name) for name in sorted(set(names)))


def head_of(body: Any, reason: str) -> str:
    """Return the beginning of a letter; of a task its name, and its arguments as its sender lets them be shown."""
    if reason == DeadLetterReason.UNREADABLE and isinstance(body, dict):
        return _short(str(body.get("error", "")))
    envelope = enveloped(body, "")
    headers = envelope["headers"]
    if "task" in headers:
        arguments = (headers.get(name) for name in ("argsrepr", "kwargsrepr"))
        return _short(" ".join(str(part) for part in (headers["task"], *arguments) if part is not None))
    payload = envelope["body"][:_ENOUGH]
    return _short(payload.decode("utf-8", "backslashreplace") if isinstance(payload, bytes) else payload)


def _short(text: str) -> str:
    shown = printable(mask(text[:_ENOUGH]))
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def printable(text: str) -> str:
    """Return a text that neither breaks a line nor moves a cursor."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
