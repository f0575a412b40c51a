"""A process of greenlets: everything that could block gives way to them. Run with ``gevent`` or ``eventlet``."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    if sys.argv[1] == "gevent":
        import gevent.monkey

        gevent.monkey.patch_all()
    else:
        import eventlet

        eventlet.monkey_patch()

import itertools
import json
import threading
import time
from typing import Any

from kombu import Connection, Producer

import kombu_pool  # noqa: F401 - importing it is what makes pool:// known to Kombu
from tests.support.transport.child_programs import LIMIT, say

#: Seconds between two messages, and for which a task works: longer than the claims of this process live.
PAUSE, WORK = 0.2, 2.2
OPTIONS = {"claim_ttl": 1.0}
NUMBER = 5


def publish(url: str) -> None:
    """Publish the time a few times, over a connection of its own."""
    with Connection(url) as connection:
        producer = Producer(connection.channel())
        for _ in range(NUMBER):
            time.sleep(PAUSE)
            producer.publish(time.time(), routing_key="q")


def hear(connection: Connection) -> None:
    """Say how long each message took to come."""
    delays: list[float] = []
    channel = connection.channel()
    channel.basic_consume("q", callback=lambda message: (delays.append(time.time() - message.payload), message.ack()))
    while len(delays) < NUMBER:
        connection.drain_events(timeout=LIMIT)
    say(json.dumps(delays))


def work(connection: Connection) -> None:
    """Hold a message for longer than its claim lives, and say whether somebody else could get it meanwhile."""
    channel = connection.channel()
    channel.queue_declare("slow")
    Producer(channel).publish("a", routing_key="slow")
    message = channel.basic_get("slow")
    time.sleep(WORK)
    lost: Any = channel.basic_get("slow")
    message.ack()
    say(json.dumps(lost is None))


def main(url: str) -> None:
    """Do both while a greenlet counts."""
    ticks = []
    ended = threading.Event()

    def tick() -> None:
        while not ended.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.01)

    greenlets = [threading.Thread(target=target, args=args) for target, args in ((publish, (url,)), (tick, ()))]
    with Connection(url, transport_options=OPTIONS) as connection:
        # Nobody keeps what is published to a queue that is not there yet.
        connection.channel().queue_declare("q")
        for greenlet in greenlets:
            greenlet.start()
        hear(connection)
        work(connection)
    ended.set()
    for greenlet in greenlets:
        greenlet.join()
    say(json.dumps(max(later - sooner for sooner, later in itertools.pairwise(ticks))))


if __name__ == "__main__":
    main(json.loads(sys.argv[2])["url"])
