"""Publishes messages, and collects deliveries."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from amqp.exceptions import NotFound, ResourceLocked
from kombu import Producer

from tests.support.limits import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu import Connection, Message

#: How long no message must come to prove that none is on its way, in seconds.
QUIET = 0.25


class Inbox:
    """The callback of a consumer; it keeps the messages."""

    def __init__(self, connection: Connection, ack: bool = False) -> None:
        self.messages: list[Message] = []
        self._connection = connection
        self._ack = ack

    def __call__(self, message: Message) -> None:
        self.messages.append(message)
        if self._ack:
            message.ack()

    @property
    def bodies(self) -> list[Any]:
        return [message.payload for message in self.messages]

    def wait_for(self, count: int, limit: float = LIMIT) -> list[Message]:
        """Drain events until there are ``count`` messages, and return them."""
        until = time.monotonic() + limit
        while len(self.messages) < count:
            self._connection.drain_events(timeout=max(0.01, until - time.monotonic()))
        return self.messages

    def expect_no_more(self, seconds: float = QUIET) -> None:
        """Fail if another message is delivered."""
        with pytest.raises(TimeoutError):
            self._connection.drain_events(timeout=seconds)


def publish(channel: Any, queue: str, *bodies: Any, **options: Any) -> None:
    """Publish to a queue by its name."""
    producer = Producer(channel)
    for body in bodies:
        producer.publish(body, routing_key=queue, **options)


def task_with_eta(eta: Any) -> dict[str, Any]:
    """Return the headers of a task that is due at a time."""
    return {"task": "tasks.add", "id": "1", "eta": eta}


def declare(channel: Any, *queues: str, **options: Any) -> None:
    """Declare queues."""
    for queue in queues:
        channel.queue_declare(queue, **options)


def consume(channel: Any, queue: str, *, ack: bool = False, **options: Any) -> Inbox:
    """Consume from a queue into a new inbox."""
    inbox = Inbox(channel.connection.client, ack=ack)
    channel.basic_consume(queue, callback=inbox, **options)
    return inbox


def take_all(channel: Any, queue: str) -> list[Any]:
    """Get and acknowledge all free messages of a queue, and return their bodies."""
    bodies = []
    while (message := channel.basic_get(queue)) is not None:
        bodies.append(message.payload)
        message.ack()
    return bodies


def count(channel: Any, queue: str) -> int:
    """Count the free messages of a queue."""
    return channel.queue_declare(queue, passive=True).message_count


def consumers(channel: Any, queue: str) -> int:
    """Count the consumers of a queue."""
    return channel.queue_declare(queue, passive=True).consumer_count


def eventually(happened: Callable[[], Any], limit: float = LIMIT) -> Any:
    """Wait until ``happened`` returns something true, and return that."""
    until = time.monotonic() + limit
    while not (answer := happened()):
        assert time.monotonic() < until, f"it did not happen within {limit} s"
        time.sleep(0.01)
    return answer


def exists(channel: Any, queue: str) -> bool:
    """Return whether the queue exists, even as an exclusive queue of another connection."""
    try:
        channel.queue_declare(queue, passive=True)
    except NotFound:
        return False
    except ResourceLocked:
        return True
    return True


def outlast_trust(channel: Any) -> None:
    """Wait until the cached generations of exchanges are over."""
    time.sleep(channel.connection.broker.control.bindings_controller.generation_ttl)
