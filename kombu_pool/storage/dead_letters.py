"""Dead letters: their reasons, and the hooks through which a store reaches queues and exchanges outside itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.model import NewMessage, Project

#: Reservation of a dead letter by the process that forwards it, in seconds; then another process may forward it.
RESERVATION_TTL = 60.0


class DeadLetterReason:
    """The values of ``dead_letter["reason"]``."""

    DELIVERY_LIMIT = "max_claim_count"
    REJECTED = "rejected"
    MAX_LENGTH = "maxlen"
    EXPIRED = "expired"
    UNREADABLE = "unreadable"


class DeadLetterOutcome(Enum):
    """The result of handing a dead letter to a hook."""

    STORED = auto()
    UNROUTABLE = auto()
    UNREACHABLE = auto()


@dataclass
class DeadLetterHooks:
    """The functions that a store calls for dead letters that leave it; all stores behind one driver share them.

    ``forward(project, queue, message)`` stores a dead letter in a queue of another store. It returns True once the
    message is stored, and False when no store has such a queue.

    ``publish(project, exchange, routing_key, message)`` publishes a dead letter of a queue that names an exchange for
    them; ``routing_key`` is None when the queue names none. It returns what ``forward`` returns. Without this hook such
    a message stays dead until a process with the hook finds it.

    ``restore_address(queue, body)`` returns the body of a dead letter that is redriven to ``queue``.

    Any :class:`~kombu_pool.errors.KombuPoolError` of ``forward`` and ``publish`` means that the target is unreachable.
    """

    forward: Callable[[Project, str, NewMessage], bool] | None = None
    publish: Callable[[Project, str, str | None, NewMessage], bool] | None = None
    restore_address: Callable[[str, Any], Any] | None = None
