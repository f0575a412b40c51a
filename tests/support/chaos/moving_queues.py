"""Programs around a queue that is moved from store to store: producers, consumers and movers, and their records."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu import Connection, Consumer, Producer, Queue

import kombu_pool  # noqa: F401 - importing it is what makes pool:// known to Kombu
from kombu_pool.errors import KombuPoolError
from kombu_pool.model import MOVING
from kombu_pool.moves import COPYING, MOVED
from tests.support.kombu_clients import DRAIN_TIMEOUT, RETRY_POLICY, end_requested, writing
from tests.support.transport.child_programs import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from kombu import Message

    from kombu_pool.model import Assignment

QUEUE = Queue("moving")
PREFETCH = 16


class Publish(NamedTuple):
    """A confirmed publish: when it began, and how long it took, in seconds."""

    body: str
    began: float
    seconds: float


class Pause(NamedTuple):
    """The time in which a queue was sealed in one pool and not open in the next, and whether its mover died in it."""

    began: float
    ended: float
    killed: bool


def publish(url: str, name: str, record: str, options: dict[str, Any], pause: float) -> None:
    """Publish numbered messages, each retried until it is confirmed, until a line on stdin."""
    ended, number = end_requested(), 0
    with Connection(url, transport_options=options) as connection, writing(record) as write:
        producer = Producer(connection.ensure_connection(**RETRY_POLICY), auto_declare=False)
        say("ready")
        while not ended.wait(pause):
            body, began, number = f"{name}-{number}", time.time(), number + 1
            producer.publish(body, routing_key=QUEUE.name, retry=True, retry_policy=RETRY_POLICY)
            write(body, began, time.time() - began)
    say("done")


def fill(url: str, name: str, options: dict[str, Any], number: int) -> None:
    """Publish ``number`` messages called name-0, name-1, ..."""
    with Connection(url, transport_options=options) as connection:
        producer = Producer(connection.default_channel)
        QUEUE(connection.default_channel).declare()
        for first in range(0, number, 500):
            with producer.batch():
                for each in range(first, min(first + 500, number)):
                    producer.publish(f"{name}-{each}", routing_key=QUEUE.name)
    say("done")


def consume(url: str, record: str, options: dict[str, Any], pause: float) -> None:
    """Consume one message after the other, record and acknowledge it, until a line on stdin."""
    ended = end_requested()
    with writing(record) as write:

        def take(message: Message) -> None:
            write(message.payload)
            message.ack()
            time.sleep(pause)

        while not ended.is_set():
            with suppress(KombuPoolError), Connection(url, transport_options=options) as connection:
                consumer = Consumer(connection, [QUEUE], on_message=take, prefetch_count=PREFETCH)
                with consumer:
                    say("ready")
                    while not ended.is_set():
                        with suppress(TimeoutError):
                            connection.drain_events(timeout=DRAIN_TIMEOUT)
    say("done")


def move(url: str, options: dict[str, Any], target: str, steps: int, holder: str) -> None:
    """Move the queue, or go on moving it; die by SIGKILL after so many steps, unless they are 0."""
    with Connection(url, transport_options=options) as connection:
        moves = connection.connection.broker.data.catalog.moves
        found = begun(moves, target, holder)
        done = 0
        while found.move.phase != MOVED or found.pool != target:
            if found.move.holder != holder:
                # A consumer has taken this for dead, and goes on with the move.
                time.sleep(DRAIN_TIMEOUT)
                found = moves.find(QUEUE.name)
                continue
            done += 1
            if done == steps:
                os.kill(os.getpid(), signal.SIGKILL)
            found = moves.step(QUEUE.name, None, found) or moves.find(QUEUE.name)
            say(f"{found.state} {found.move.phase} {found.move.copied}")
    say("done")


def begun(moves: Any, target: str, holder: str) -> Any:
    """Plan the move, or take it over from a dead process."""
    while True:
        found = moves.find(QUEUE.name)
        if found is None or found.move.phase == MOVED:
            if found is not None and found.pool == target:
                return found
            return moves.plan(QUEUE.name, None, target, copies=True, holder=holder)
        taken = moves.take_over(QUEUE.name, None, found, holder)
        if taken is not None:
            return taken


# What the records say.


def published(records: Iterable[Path]) -> list[Publish]:
    """Return the confirmed publishes."""
    lines = [line.split() for record in records for line in record.read_text().splitlines()]
    return [Publish(body, float(began), float(seconds)) for body, began, seconds in lines]


def in_order(bodies: Sequence[str]) -> int:
    """Count the messages that come after a later one of the same producer."""
    last: dict[str, int] = {}
    late = 0
    for body in bodies:
        name, _, number = body.rpartition("-")
        late += int(number) < last.get(name, -1)
        last[name] = max(int(number), last.get(name, -1))
    return late


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed; 0 for none."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else 0.0


def watch_pauses(find: Any, is_over: Any, died: Any) -> tuple[list[Pause], list[float]]:
    """Look at the assignment again and again; return the pauses, and the seconds of each time of copying."""
    pauses: list[Pause] = []
    copying: list[float] = []
    began: float | None = None
    copies: float | None = None
    while not is_over():
        found: Assignment | None = find()
        now = time.time()
        is_sealed = found is not None and found.state == MOVING
        if is_sealed and began is None:
            began = now
        elif not is_sealed and began is not None:
            pauses.append(Pause(began, now, died(began, now)))
            began = None
        is_copying = found is not None and found.move is not None and found.move.phase == COPYING
        if is_copying and copies is None:
            copies = now
        elif not is_copying and copies is not None:
            copying.append(now - copies)
            copies = None
        time.sleep(0.002)
    return pauses, copying


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
