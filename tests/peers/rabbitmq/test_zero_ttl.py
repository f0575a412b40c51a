"""An expiration of 0, and ``x-message-ttl`` 0: each consumer gets what it would get from RabbitMQ."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from kombu import Producer

from tests.support.limits import LIMIT
from tests.support.servers import rabbitmq
from tests.support.transport.traffic import Inbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.peers.brokers import Peer

pytestmark = pytest.mark.skipif(not rabbitmq.program(), reason="RabbitMQ is not installed")

NAME = "zero"
NUMBER = 20
#: Seconds in which a message that is not dead would come.
QUIET = 0.5


def idle(channel: Any, publish: Callable[..., None]) -> Any:
    """Publish to a consumer that waits."""
    inbox = consume(channel, ack=True)
    publish(*range(NUMBER))
    inbox.wait_for(NUMBER, LIMIT)
    return inbox.bodies


def absent(channel: Any, publish: Callable[..., None]) -> Any:
    """Publish before a consumer comes."""
    publish("lost")
    count = channel.queue_declare(NAME, passive=True).message_count
    time.sleep(0.1)
    return count, quiet(channel, consume(channel))


def busy(channel: Any, publish: Callable[..., None]) -> Any:
    """Publish to a consumer whose prefetch window is full."""
    channel.basic_qos(0, 1, False)
    inbox = consume(channel)
    publish("first")
    (first,) = inbox.wait_for(1, LIMIT)
    publish("too early")
    time.sleep(0.1)
    first.ack()
    return quiet(channel, inbox)


def consume(channel: Any, *, ack: bool = False) -> Inbox:
    inbox = Inbox(channel.connection.client, ack=ack)
    channel.basic_consume(NAME, callback=inbox_of(channel, inbox))
    return inbox


def inbox_of(channel: Any, inbox: Inbox) -> Callable[[Any], None]:
    """Return the callback that puts a message of either client into an inbox."""
    to_message = getattr(channel, "message_to_python", lambda message: message)
    return lambda message: inbox(to_message(message))


def quiet(channel: Any, inbox: Inbox) -> Any:
    """Return what came, once nothing more does."""
    inbox.expect_no_more(QUIET)
    return inbox.bodies


@pytest.mark.parametrize("scene", [idle, absent, busy])
@pytest.mark.parametrize("whose", ["message", "queue"])
def test_a_time_to_live_of_0_is_for_those_who_wait(peer: Peer, ours: Peer, scene: Any, whose: str) -> None:
    def play(channel: Any) -> Any:
        channel.queue_delete(NAME)
        channel.queue_declare(NAME, auto_delete=False, arguments={"x-message-ttl": 0} if whose == "queue" else {})
        options = {"expiration": 0} if whose == "message" else {}

        def publish(*bodies: Any) -> None:
            for body in bodies:
                Producer(channel).publish(body, routing_key=NAME, **options)

        return scene(channel, publish)

    assert ours.attempt(play) == peer.attempt(play)
