"""The errors of AMQP that the transport raises, with RabbitMQ's texts."""

from __future__ import annotations

from amqp import spec
from amqp.exceptions import (
    ChannelError,
    ConsumerCancelled,
    MessageNacked,
    NotFound,
    PreconditionFailed,
    RecoverableConnectionError,
    ResourceLocked,
)

from kombu_pool import errors

#: The errors after which Kombu publishes the very same message again, by its retry policy.
RETRIED = (RecoverableConnectionError, errors.ConnectionError, errors.StoreFull)


def _signature(method: str) -> tuple[int, int]:
    """Return the number of a channel's method in the protocol."""
    family, _, verb = method.partition("_")
    number: tuple[int, int] = getattr(getattr(spec, family.title()), verb.title())
    return number


def no_exchange(exchange: str, method: str) -> NotFound:
    """Return the error for an exchange that does not exist; ``method`` is the channel's."""
    return NotFound(f"NOT_FOUND - no exchange '{exchange}' here", _signature(method), f"Channel.{method}")


def no_queue(queue: str, method: str) -> NotFound:
    """Return the error for a queue that does not exist."""
    return NotFound(f"NOT_FOUND - no queue '{queue}' here", _signature(method), f"Channel.{method}")


def precondition_failed(reason: str, method: str) -> PreconditionFailed:
    """Return the error for a request that does not fit what exists."""
    return PreconditionFailed(f"PRECONDITION_FAILED - {reason}", _signature(method), f"Channel.{method}")


def resource_locked(queue: str) -> ResourceLocked:
    """Return the error for the exclusive queue of another connection."""
    method, text = "queue_declare", f"RESOURCE_LOCKED - queue '{queue}' is exclusive to another connection"
    return ResourceLocked(text, _signature(method), f"Channel.{method}")


def consumer_cancelled(queue: str) -> ConsumerCancelled:
    """Return the error for a consumer whose queue is gone; the client declares the queue again, and consumes."""
    return ConsumerCancelled(f"queue '{queue}' was deleted", _signature("basic_consume"), "Channel.basic_consume")


def nacked(queue: str) -> MessageNacked:
    """Return the error for messages that a full queue refuses."""
    return MessageNacked(f"NACK - queue '{queue}' is full and takes no more")


def no_route() -> ChannelError:
    """Return the error that comes with a mandatory message that is routed to no queue."""
    return ChannelError("NO_ROUTE", (60, 50), "basic.return", 312)
