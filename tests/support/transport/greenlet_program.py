"""A process with monkey-patched blocking calls: run with the argument ``gevent`` or ``eventlet``."""

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

import psutil
from kombu import Connection, Producer

from kombu_pool.transport import gather
from tests.support.limits import LIMIT
from tests.support.transport.child_programs import say

#: Pause between two messages, and duration of a task, in seconds: longer than the claim ttl of this process.
PAUSE, WORK = 0.2, 4.2
OPTIONS = {"claim_ttl": 2.0}
NUMBER, GROUP = 5, 3


def publish(url: str) -> None:
    """Publish the time a few times, over a separate connection."""
    with Connection(url) as connection:
        producer = Producer(connection.channel())
        for _ in range(NUMBER):
            time.sleep(PAUSE)
            producer.publish(time.time(), routing_key="q")


def hear(connection: Connection) -> None:
    """Print the delay of each message."""
    delays: list[float] = []
    channel = connection.channel()
    channel.basic_consume("q", callback=lambda message: (delays.append(time.time() - message.payload), message.ack()))
    while len(delays) < NUMBER:
        connection.drain_events(timeout=LIMIT)
    say(json.dumps(delays))


def work(connection: Connection) -> None:
    """Hold a message for longer than the claim ttl, and print whether another connection could get it meanwhile."""
    channel = connection.channel()
    channel.queue_declare("slow")
    Producer(channel).publish("a", routing_key="slow")
    message = channel.basic_get("slow")
    time.sleep(WORK)
    lost: Any = channel.basic_get("slow")
    message.ack()
    say(json.dumps(lost is None))


def send_group(connection: Connection) -> None:
    """Print how many messages of a group are stored while it waits for the next one, and how many threads started."""
    threads = psutil.Process().num_threads()
    channel = connection.channel()
    channel.queue_declare("group")
    producer, stored, until = Producer(channel), 0, time.monotonic() + LIMIT
    with gather(producer, explicit=False):
        for number in range(GROUP):
            producer.publish(number, routing_key="group")
        while stored < GROUP and time.monotonic() < until:
            time.sleep(PAUSE)
            stored = channel.queue_declare("group", passive=True).message_count
    say(json.dumps([stored, psutil.Process().num_threads() - threads]))


def main(url: str) -> None:
    """Do all of it while a greenlet counts."""
    ticks = []
    ended = threading.Event()

    def tick() -> None:
        while not ended.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.01)

    greenlets = [threading.Thread(target=target, args=args) for target, args in ((publish, (url,)), (tick, ()))]
    with Connection(url, transport_options=OPTIONS) as connection:
        # A message to a queue that does not exist yet would be dropped.
        connection.channel().queue_declare("q")
        for greenlet in greenlets:
            greenlet.start()
        hear(connection)
        work(connection)
        send_group(connection)
    ended.set()
    for greenlet in greenlets:
        greenlet.join()
    say(json.dumps(max(later - sooner for sooner, later in itertools.pairwise(ticks))))


if __name__ == "__main__":
    main(json.loads(sys.argv[2])["url"])
