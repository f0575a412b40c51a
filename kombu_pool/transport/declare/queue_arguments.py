"""What the arguments of ``queue.declare`` ask of the store that keeps the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqp.exceptions import PreconditionFailed

from kombu_pool.storage import (
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_EXPIRED,
    DEAD_LETTER_ROUTING_KEY,
    DEFAULT_MESSAGE_TTL,
    DROP_HEAD,
    MAX_CLAIM_COUNT,
    MAX_LENGTH,
    MAX_LENGTH_BYTES,
    OVERFLOW,
    REJECT_PUBLISH,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.model import Metadata

#: The key of a queue's metadata that keeps how it was declared.
DECLARED = "declared"

EXPIRES = "x-expires"
FLAVOR_ARGUMENT = "x-pool-flavor"
SINGLE_ACTIVE = "x-single-active-consumer"
_TTL, _LIMIT, _PRIORITY = "x-message-ttl", "x-delivery-limit", "x-max-priority"
_EXCHANGE, _ROUTING_KEY, _STRATEGY = "x-dead-letter-exchange", "x-dead-letter-routing-key", "x-dead-letter-strategy"
_LENGTH, _BYTES, _OVERFLOW = "x-max-length", "x-max-length-bytes", "x-overflow"

#: Refuses what is too much, and dead-letters it.
REJECT_PUBLISH_DLX = "reject-publish-dlx"
#: Stands for the exchange of a queue that limits deliveries and has none of its own.
OVERDUE = "kombu_pool.delivery_limit"
HIGHEST_PRIORITY = 255

HEEDED = frozenset(
    {
        EXPIRES, FLAVOR_ARGUMENT, SINGLE_ACTIVE, _TTL, _LIMIT, _PRIORITY, _EXCHANGE, _ROUTING_KEY, _LENGTH, _BYTES,
        _OVERFLOW,
    }
)  # fmt: skip
#: Arguments that name a kind of RabbitMQ's queues; every queue here is durable, replicated as its store is, and lazy,
#: and every dead letter arrives at least once.
WITHOUT_MEANING = frozenset(
    {
        "x-queue-type", "x-queue-mode", "x-queue-version", "x-queue-leader-locator", "x-queue-master-locator",
        "x-ha-policy", "x-ha-nodes", "x-initial-cluster-size", "x-quorum-initial-group-size", "x-max-in-memory-length",
        "x-max-in-memory-bytes", _STRATEGY,
    }
)  # fmt: skip


def policy_of(name: str, arguments: Mapping[str, Any]) -> Metadata:
    """Return the metadata by which a store does what the arguments say.

    Raises:
        PreconditionFailed: one of them makes no sense.
    """
    given = Given(name, arguments)
    metadata: Metadata = {}
    ttl = given.seconds(_TTL)
    if ttl is not None:
        # A ttl of 0 means never in a store, and at once in AMQP.
        metadata[DEFAULT_MESSAGE_TTL] = ttl or 0.001
    given.number(_PRIORITY, 0, HIGHEST_PRIORITY)
    _add_bounds(metadata, given)
    _add_dead_letters(metadata, given)
    return metadata


def unknown(arguments: Mapping[str, Any]) -> set[str]:
    """Return the arguments that nobody knows."""
    return arguments.keys() - HEEDED - WITHOUT_MEANING


def lifetime_of(name: str, arguments: Mapping[str, Any]) -> float | None:
    """Return the seconds that the queue outlives its last use; None: for ever."""
    return Given(name, arguments).seconds(EXPIRES)


def buries_refused(arguments: Mapping[str, Any]) -> bool:
    """Tell whether a full queue dead-letters what it refuses."""
    return arguments.get(_OVERFLOW) == REJECT_PUBLISH_DLX and arguments.get(_EXCHANGE) is not None


def _add_bounds(metadata: Metadata, given: Given) -> None:
    for argument, key in ((_LENGTH, MAX_LENGTH), (_BYTES, MAX_LENGTH_BYTES)):
        most = given.number(argument, 0)
        if most is not None:
            # What holds nothing at all takes nothing that waits; a store cannot say so, and one message is next to it.
            metadata[key] = most or 1
    how = given.one_of(_OVERFLOW, (DROP_HEAD, REJECT_PUBLISH, REJECT_PUBLISH_DLX))
    if how in (REJECT_PUBLISH, REJECT_PUBLISH_DLX):
        metadata[OVERFLOW] = REJECT_PUBLISH


def _add_dead_letters(metadata: Metadata, given: Given) -> None:
    exchange, routing_key = given.text(_EXCHANGE), given.text(_ROUTING_KEY)
    if routing_key is not None and exchange is None:
        raise given.refusal(_ROUTING_KEY, f"needs {_EXCHANGE}")
    limit = given.number(_LIMIT, -1)
    if limit is not None and limit >= 0:
        # It counts the deliveries beyond the first.
        metadata[MAX_CLAIM_COUNT] = limit + 1
    if exchange is not None:
        metadata[DEAD_LETTER_EXCHANGE] = exchange
        metadata[DEAD_LETTER_EXPIRED] = True
        if routing_key is not None:
            metadata[DEAD_LETTER_ROUTING_KEY] = routing_key
    elif MAX_CLAIM_COUNT in metadata:
        metadata[DEAD_LETTER_EXCHANGE] = OVERDUE


class Given:
    """The arguments of one declaration, read one by one."""

    def __init__(self, queue: str, arguments: Mapping[str, Any]) -> None:
        self._queue = queue
        self._arguments = arguments

    def seconds(self, argument: str) -> float | None:
        """Return a duration that is given in milliseconds."""
        value = self._arguments.get(argument)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise self.refusal(argument, f"must be milliseconds of 0 or more, not {value!r}")
        return value / 1000

    def number(self, argument: str, least: int, most: int | None = None) -> int | None:
        """Return a whole number."""
        value = self._arguments.get(argument)
        if value is None:
            return None
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or value < least
            or (most is not None and value > most)
        ):
            bounds = f"of {least} or more" if most is None else f"from {least} to {most}"
            raise self.refusal(argument, f"must be a whole number {bounds}, not {value!r}")
        return value

    def text(self, argument: str) -> str | None:
        """Return a text."""
        value = self._arguments.get(argument)
        if value is not None and not isinstance(value, str):
            raise self.refusal(argument, f"must be a text, not {value!r}")
        return value

    def one_of(self, argument: str, values: tuple[str, ...]) -> str | None:
        """Return one of some texts."""
        value = self.text(argument)
        if value is not None and value not in values:
            raise self.refusal(argument, f"must be one of {', '.join(values)}, not {value!r}")
        return value

    def refusal(self, argument: str, why: str) -> PreconditionFailed:
        """Return the error of an argument."""
        return PreconditionFailed(
            f"PRECONDITION_FAILED - {argument} of queue '{self._queue}' {why}", (50, 10), "Channel.queue_declare"
        )
