"""Producers, consumers and deleters of the same queues, each a process of its own, which report what they did."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kombu import Connection, Exchange, Queue

import kombu_pool  # noqa: F401 - importing it is what makes pool:// known to Kombu
from tests.support.transport.child_programs import heard, say

if TYPE_CHECKING:
    from collections.abc import Sequence

#: An error after which a client connects again, and declares its queues again.
LOST = Connection("pool+memory://").recoverable_connection_errors
QUEUES = [Queue(f"q{number}", Exchange("changing"), routing_key=f"q{number}") for number in range(16)]


def until_told() -> threading.Event:
    """Say that the program is ready, and return an event that the next line sets."""
    told = threading.Event()
    threading.Thread(target=lambda: (heard(), told.set()), daemon=True).start()
    say("ready")
    return told


def produce(url: str, options: dict[str, Any], name: str, exchange: str) -> None:
    """Publish mandatory messages; report (body, queue, start of the publish) of each that was stored."""
    told, stored = until_told(), []
    chance = random.Random(name)  # noqa: S311 - no secret
    with Connection(url, transport_options=options) as connection:
        returned: list[Any] = []
        producer = connection.Producer(on_return=lambda *answer: returned.append(answer))
        while not told.is_set():
            queue = chance.choice(QUEUES)
            body, start = f"{name}-{len(stored)}", time.monotonic()
            producer.publish(
                body, exchange=exchange, routing_key=queue.name, mandatory=True, declare=[queue], retry=True,
                retry_policy={"max_retries": 20, "interval_start": 0.01},
            )  # fmt: skip
            if not returned:
                stored.append((body, queue.name, start))
            returned.clear()
            time.sleep(0.01)
    say(json.dumps(stored))


def consume(url: str, options: dict[str, Any]) -> None:
    """Consume all queues, and declare them again when one of them is gone; report the bodies that came."""
    told, got = until_told(), []
    while not told.is_set():
        with suppress(*LOST), Connection(url, transport_options=options) as connection:
            _consume(connection, told, got)
    say(json.dumps(got))


def _consume(connection: Connection, told: threading.Event, got: list[str]) -> None:
    def take(body: str, message: Any) -> None:
        message.ack()
        got.append(body)

    with connection.Consumer(QUEUES, callbacks=[take], prefetch_count=16):
        while not told.is_set():
            with suppress(TimeoutError):
                connection.drain_events(timeout=0.2)


def delete(url: str, options: dict[str, Any], seed: str, pause: float) -> None:
    """Delete queues, and declare every second one again; report (queue, end of the deletion)."""
    told, deleted = until_told(), []
    chance = random.Random(seed)  # noqa: S311 - no secret
    with Connection(url, transport_options=options) as connection:
        channel = connection.channel()
        while not told.wait(chance.uniform(0, 2 * pause)):
            queue = chance.choice(QUEUES)
            channel.queue_delete(queue.name)
            deleted.append((queue.name, time.monotonic()))
            if chance.random() < 0.5:
                with suppress(*LOST):
                    queue(channel).declare()
    say(json.dumps(deleted))


def lost(stored: Sequence[Any], got: set[str], deleted: Sequence[Any], within: float) -> list[str]:
    """Return the stored messages that no consumer got, and that no deletion in the time thereafter explains."""
    ends: dict[str, list[float]] = {}
    for queue, end in deleted:
        ends.setdefault(queue, []).append(end)
    return [
        body
        for body, queue, start in stored
        if body not in got and not any(start <= end <= start + within for end in ends.get(queue, ()))
    ]


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
