"""Child processes that leave queues behind, or delete those that expired; each does one thing a line, and answers."""

from __future__ import annotations

import json
import sys
from typing import Any

from kombu import Connection

import kombu_pool  # noqa: F401 - importing it is what makes pool:// known to Kombu
from tests.support.transport.child_programs import heard, say

#: A short lifetime, in seconds.
BRIEF = 0.3


def arguments_of(lifetime: float) -> dict[str, Any]:
    """Return the arguments of a queue with this lifetime, in seconds."""
    return {"x-expires": int(lifetime * 1000)}


def left_queue(name: object) -> str:
    """Return the name of a queue that :func:`leave` makes."""
    return f"left-{name}"


def delete_in_two_steps(url: str, options: dict[str, Any]) -> None:
    """At one line, name the expired queues; at the next one, delete them as one that found them then."""
    with Connection(url, transport_options=options) as connection:
        broker = connection.channel().connection.broker
        say("ready")
        while True:
            heard()
            expired = broker.control.consumers_controller.expired_queues()
            say(" ".join(queue for _, queue in expired))
            heard()
            broker.data.queue_controller.expire_many(expired)
            say("deleted")


def leave(url: str, options: dict[str, Any], start: int, count: int) -> None:
    """Make queues that are deleted with their consumer, and others that expire, each with a binding."""
    with Connection(url, transport_options=options) as connection:
        channel = connection.channel()
        say("ready")
        channel.exchange_declare("left")
        for number in range(start, start + count):
            queue = left_queue(number)
            if number % 2:
                channel.queue_declare(queue, auto_delete=True)
                # What basic_consume does in the store, without a thread and a watch for so many queues.
                channel._queues.add_consumer(queue, f"{channel._owner}:{queue}", auto_delete=True)
            else:
                channel.queue_declare(queue, arguments=arguments_of(1))
            channel.queue_bind(queue, "left", queue)
        say("made")
        heard()


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
