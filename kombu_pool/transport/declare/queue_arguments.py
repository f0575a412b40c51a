"""The arguments of ``queue.declare``, and the queue metadata by which a store honours them."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kombu_pool import storage
from kombu_pool.storage.validation import MAX_PRIORITY
from kombu_pool.transport.amqp_errors import precondition_failed
from kombu_pool.transport.zero_ttl import TTL_ARGUMENT, ZERO_TTL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqp.exceptions import PreconditionFailed

    from kombu_pool.model import Metadata

#: The key of a queue's metadata that holds the properties and arguments of its declaration.
DECLARED = "declared"

EXPIRES = "x-expires"
FLAVOR_ARGUMENT = "x-pool-flavor"
SINGLE_ACTIVE = "x-single-active-consumer"
_LIMIT, _PRIORITY = "x-delivery-limit", "x-max-priority"
_EXCHANGE, _ROUTING_KEY, _STRATEGY = "x-dead-letter-exchange", "x-dead-letter-routing-key", "x-dead-letter-strategy"
LENGTH_ARGUMENT, _BYTES, _OVERFLOW = "x-max-length", "x-max-length-bytes", "x-overflow"

#: The ``x-overflow`` that refuses excess messages and dead-letters them.
REJECT_PUBLISH_DLX = "reject-publish-dlx"
#: Stands for the dead-letter exchange of a queue with a delivery limit and no such exchange.
DELIVERY_LIMIT_EXCHANGE = "kombu_pool.delivery_limit"

SUPPORTED = frozenset(
    {
        EXPIRES, FLAVOR_ARGUMENT, SINGLE_ACTIVE, TTL_ARGUMENT, _LIMIT, _PRIORITY, _EXCHANGE, _ROUTING_KEY,
        LENGTH_ARGUMENT, _BYTES, _OVERFLOW,
    }
)  # fmt: skip
#: Arguments that choose a type of RabbitMQ queue. Every queue here is durable, lazy, and replicated as its store is;
#: every dead letter arrives at least once.
IGNORED = frozenset(
    {
        "x-queue-type", "x-queue-mode", "x-queue-version", "x-queue-leader-locator", "x-queue-master-locator",
        "x-ha-policy", "x-ha-nodes", "x-initial-cluster-size", "x-quorum-initial-group-size", "x-max-in-memory-length",
        "x-max-in-memory-bytes", _STRATEGY,
    }
)  # fmt: skip


def policy_of(name: str, arguments: Mapping[str, Any]) -> Metadata:
    """Return the metadata by which a store honours the arguments.

    Raises:
        PreconditionFailed: an argument has an invalid value.
    """
    checked = QueueArguments(name, arguments)
    metadata: Metadata = {}
    ttl = checked.seconds(TTL_ARGUMENT)
    if ttl is not None:
        metadata[storage.DEFAULT_MESSAGE_TTL] = ttl or ZERO_TTL
    checked.number(_PRIORITY, 0, MAX_PRIORITY)
    checked.flag(SINGLE_ACTIVE)
    _add_length_limit(metadata, checked)
    _add_dead_letters(metadata, checked)
    return metadata


def unknown(arguments: Mapping[str, Any]) -> set[str]:
    """Return the arguments that are neither supported nor known to have no effect."""
    return arguments.keys() - SUPPORTED - IGNORED


def lifetime_of(name: str, arguments: Mapping[str, Any]) -> float | None:
    """Return how long the queue outlives its last use, in seconds; None: for ever.

    Raises:
        PreconditionFailed: it is 0 or no number.
    """
    checked = QueueArguments(name, arguments)
    lifetime = checked.seconds(EXPIRES)
    if lifetime == 0:
        raise checked.refusal(EXPIRES, "must be more than 0")
    return lifetime


def dead_letters_refused(arguments: Mapping[str, Any]) -> bool:
    """Return whether a full queue dead-letters what it refuses."""
    return arguments.get(_OVERFLOW) == REJECT_PUBLISH_DLX and arguments.get(_EXCHANGE) is not None


def _add_length_limit(metadata: Metadata, arguments: QueueArguments) -> None:
    for argument, key in ((LENGTH_ARGUMENT, storage.MAX_LENGTH), (_BYTES, storage.MAX_LENGTH_BYTES)):
        most = arguments.number(argument, 0)
        if most is not None:
            # A store has no length limit of 0; 1 is the closest.
            metadata[key] = most or 1
    how = arguments.one_of(_OVERFLOW, (storage.DROP_HEAD, storage.REJECT_PUBLISH, REJECT_PUBLISH_DLX))
    if how in (storage.REJECT_PUBLISH, REJECT_PUBLISH_DLX):
        metadata[storage.OVERFLOW] = storage.REJECT_PUBLISH


def _add_dead_letters(metadata: Metadata, arguments: QueueArguments) -> None:
    exchange, routing_key = arguments.text(_EXCHANGE), arguments.text(_ROUTING_KEY)
    if routing_key is not None and exchange is None:
        raise arguments.refusal(_ROUTING_KEY, f"needs {_EXCHANGE}")
    limit = arguments.number(_LIMIT, -1)
    if limit is not None and limit >= 0:
        # The limit counts the deliveries after the first.
        metadata[storage.MAX_CLAIM_COUNT] = limit + 1
    if exchange is not None:
        metadata[storage.DEAD_LETTER_EXCHANGE] = exchange
        metadata[storage.DEAD_LETTER_EXPIRED] = True
        if routing_key is not None:
            metadata[storage.DEAD_LETTER_ROUTING_KEY] = routing_key
    elif storage.MAX_CLAIM_COUNT in metadata:
        metadata[storage.DEAD_LETTER_EXCHANGE] = DELIVERY_LIMIT_EXCHANGE


class QueueArguments:
    """The arguments of one declaration, checked one by one."""

    def __init__(self, queue: str, arguments: Mapping[str, Any]) -> None:
        self._queue = queue
        self._arguments = arguments

    def seconds(self, argument: str) -> float | None:
        """Return the seconds of an argument in milliseconds."""
        value = self._arguments.get(argument)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise self.refusal(argument, f"must be a number of milliseconds of 0 or more, not {value!r}")
        return value / 1000

    def number(self, argument: str, least: int, most: float = math.inf) -> int | None:
        """Return a whole number."""
        value = self._arguments.get(argument)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            bounds = f"of {least} or more" if most == math.inf else f"from {least} to {most}"
            raise self.refusal(argument, f"must be a whole number {bounds}, not {value!r}")
        return value

    def flag(self, argument: str) -> bool | None:
        """Return true or false."""
        value = self._arguments.get(argument)
        if value is not None and not isinstance(value, bool):
            raise self.refusal(argument, f"must be true or false, not {value!r}")
        return value

    def text(self, argument: str) -> str | None:
        """Return a text; AMQP does not tell bytes in UTF-8 from it."""
        value = self._arguments.get(argument)
        if isinstance(value, bytes):
            with suppress(UnicodeDecodeError):
                return value.decode()
        if value is not None and not isinstance(value, str):
            raise self.refusal(argument, f"must be a text, not {value!r}")
        return value

    def one_of(self, argument: str, values: tuple[str, ...]) -> str | None:
        """Return a text that is one of ``values``."""
        value = self.text(argument)
        if value is not None and value not in values:
            raise self.refusal(argument, f"must be one of {', '.join(values)}, not {value!r}")
        return value

    def refusal(self, argument: str, why: str) -> PreconditionFailed:
        """Return the error for an argument."""
        return precondition_failed(f"{argument} of queue '{self._queue}' {why}", "queue_declare")
