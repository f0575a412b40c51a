"""Unique messages: the headers that ask for them, and the messages that stand for those that were dropped.

``x-deduplication-id`` is the id, ``x-deduplication-scope`` one of ``waiting`` (the default), ``unfinished`` and a
number of seconds, ``x-deduplication-conflict`` one of ``drop`` (the default), ``replace`` and ``extend``.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import InvalidMessage
from kombu_pool.model import DROP, WAITING, PresentId, Uniqueness
from kombu_pool.storage.validation import check_uniqueness
from kombu_pool.transport import amqp_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ID_HEADER = "x-deduplication-id"
SCOPE_HEADER = "x-deduplication-scope"
CONFLICT_HEADER = "x-deduplication-conflict"

_dropped: ContextVar[list[PresentId] | None] = ContextVar("dropped", default=None)


def uniqueness(headers: Mapping[str, Any]) -> Uniqueness:
    """Return what the headers of a message with an ID_HEADER ask for.

    Raises:
        PreconditionFailed: one of them has an invalid value.
    """
    asked = Uniqueness(
        headers[ID_HEADER], _scope(headers.get(SCOPE_HEADER, WAITING)), headers.get(CONFLICT_HEADER, DROP)
    )
    try:
        return check_uniqueness(asked)
    except InvalidMessage as error:
        reason = f"invalid header {ID_HEADER}, {SCOPE_HEADER} or {CONFLICT_HEADER}: {error}"
        raise amqp_errors.precondition_failed(reason, "basic_publish") from error


def _scope(value: Any) -> Any:
    """Return a scope; a number of seconds may be a text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


@contextmanager
def dropped() -> Iterator[list[PresentId]]:
    """Collect, in the place of each message that is published and dropped within this context, the present one."""
    found: list[PresentId] = []
    token = _dropped.set(found)
    try:
        yield found
    finally:
        _dropped.reset(token)


def is_collecting() -> bool:
    """Return whether the caller collects the present messages, so that a publish may not wait in a buffer."""
    return _dropped.get() is not None


def report(message_ids: Sequence[str]) -> None:
    """Report the ids that a post returned."""
    found = _dropped.get()
    if found is not None:
        found += [message_id for message_id in message_ids if isinstance(message_id, PresentId)]
