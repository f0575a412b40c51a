"""The errors of AMQP that the transport raises, with RabbitMQ's texts."""

from __future__ import annotations

from amqp.exceptions import ChannelError, ConsumerCancelled, MessageNacked, NotFound, PreconditionFailed, ResourceLocked

#: The number of each method in the protocol: (class, method).
_SIGNATURES = {
    "exchange_declare": (40, 10),
    "exchange_delete": (40, 20),
    "exchange_bind": (40, 30),
    "queue_declare": (50, 10),
    "queue_bind": (50, 20),
    "queue_purge": (50, 30),
    "queue_delete": (50, 40),
    "basic_consume": (60, 20),
    "basic_publish": (60, 40),
    "basic_get": (60, 70),
}


def no_exchange(exchange: str, method: str) -> NotFound:
    """Return the error for an exchange that does not exist; ``method`` is the channel's."""
    return NotFound(f"NOT_FOUND - no exchange '{exchange}' here", _SIGNATURES[method], f"Channel.{method}")


def no_queue(queue: str, method: str) -> NotFound:
    """Return the error for a queue that does not exist."""
    return NotFound(f"NOT_FOUND - no queue '{queue}' here", _SIGNATURES[method], f"Channel.{method}")


def precondition_failed(reason: str, method: str) -> PreconditionFailed:
    """Return the error for a request that does not fit what exists."""
    return PreconditionFailed(f"PRECONDITION_FAILED - {reason}", _SIGNATURES[method], f"Channel.{method}")


def resource_locked(queue: str) -> ResourceLocked:
    """Return the error for the exclusive queue of another connection."""
    method, text = "queue_declare", f"RESOURCE_LOCKED - queue '{queue}' is exclusive to another connection"
    return ResourceLocked(text, _SIGNATURES[method], f"Channel.{method}")


def consumer_cancelled(queue: str) -> ConsumerCancelled:
    """Return the error for a consumer whose queue is gone; the client declares the queue again, and consumes."""
    return ConsumerCancelled(f"queue '{queue}' was deleted", _SIGNATURES["basic_consume"], "Channel.basic_consume")


def nacked(queue: str) -> MessageNacked:
    """Return the error for messages that a full queue refuses."""
    return MessageNacked(f"NACK - queue '{queue}' is full and takes no more")


def no_route() -> ChannelError:
    """Return the error that comes with a mandatory message that is routed to no queue."""
    return ChannelError("NO_ROUTE", (60, 50), "basic.return", 312)
