"""Many messages that come and go through one SQLite file, with producers and consumers running all the while.

Producers publish one by one and hold back while more than a few thousand messages wait; consumers acknowledge each
message. SQLite does not wait for the disk (``NORMAL``), so that as much as possible happens.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
from kombu import Consumer, Producer

from benchmarks import brokers
from benchmarks.children import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

MEBIBYTE = 1 << 20
#: The part of the messages after which memory is expected to be flat.
WARM_UP = 0.1
#: A producer looks how many wait after so many, and holds back while they are too many.
LOOK, MOST_WAITING = 500, 10_000
#: Seconds without a message after which a consumer takes it that no more will come.
QUIET = 5


class Resident:
    """The resident memory of a process: how far above its value after the warm-up it ever was."""

    def __init__(self, warm_up: int, every: int = 1000) -> None:
        self._memory = psutil.Process().memory_info
        self._warm_up = warm_up
        self._every = every
        self._seen = 0
        self._base = 0
        self._peak = 0

    def one_more(self) -> None:
        """Count a message, and look now and then."""
        self._seen += 1
        if self._seen % self._every == 0 and self._seen >= self._warm_up:
            now = self._memory().rss
            self._base = self._base or now
            self._peak = max(self._peak, now)

    @property
    def growth(self) -> float:
        """Mebibytes."""
        return (self._peak - self._base) / MEBIBYTE


def produce(broker: brokers.Broker, messages: int) -> Iterator[Any]:
    """Publish messages, and say by how many mebibytes that made us grow."""
    resident = Resident(int(messages * WARM_UP))
    with brokers.connected(broker) as channel:
        producer = Producer(channel, exchange=brokers.QUEUE.exchange, routing_key="bench", auto_declare=False)
        for number in range(messages):
            if number % LOOK == 0:
                _hold_back(channel)
            producer.publish(brokers.BODY)
            resident.one_more()
    yield resident.growth


def _hold_back(channel: Any) -> None:
    while channel.queue_declare("bench", passive=True).message_count > MOST_WAITING:
        time.sleep(0.05)


def consume(broker: brokers.Broker, messages: int) -> Iterator[Any]:
    """Consume until no more messages come, and say by how many mebibytes that made us grow, and how many they were."""
    resident = Resident(int(messages * WARM_UP))
    seen = 0

    def arrived(_: Any, message: Any) -> None:
        nonlocal seen
        message.ack()
        seen += 1
        resident.one_more()

    with brokers.connected(broker) as channel:
        consumer = Consumer(channel, [brokers.QUEUE], callbacks=[arrived])
        consumer.qos(prefetch_count=brokers.PREFETCH)
        consumer.consume()
        yield "ready"
        _drain(channel.connection.client)
    yield [resident.growth, seen]


def _drain(client: Any) -> None:
    try:
        while True:
            client.drain_events(timeout=QUIET)
    except TimeoutError:
        return


@dataclass(frozen=True)
class Traffic:
    """What was seen of it, in mebibytes."""

    producer_growth: float
    consumer_growth: float
    largest: float
    left: float


def flow(folder: Path, messages: int, producers: int, consumers: int) -> Traffic:
    """Let messages come and go."""
    broker = brokers.sqlite_normal(folder)
    with ExitStack() as stack:

        def start(role: Callable[..., Any], count: int) -> list[Child]:
            share = messages // count
            return [stack.enter_context(Child(role, folder, broker=broker, messages=share)) for _ in range(count)]

        takers = start(consume, consumers)
        for taker in takers:
            taker.answer()
        makers = start(produce, producers)
        sizes = list(_watched(folder, [*makers, *takers]))
        grown = [maker.answer() for maker in makers]
        taken = [taker.answer() for taker in takers]
    if (seen := sum(each[1] for each in taken)) != messages // producers * producers:
        raise SystemExit(f"{seen:,} of {messages:,} messages arrived")
    return Traffic(max(grown), max(each[0] for each in taken), max(sizes), sizes[-1])


def _watched(folder: Path, children: Sequence[Child]) -> Iterator[float]:
    """Yield the size of the database's files while the children run, and when they have ended."""
    while any(child.is_running for child in children):
        yield _size(folder)
        time.sleep(0.1)
    yield _size(folder)


def _size(folder: Path) -> float:
    total = 0
    for path in folder.glob("pool.db*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # it went between the two
            continue
    return total / MEBIBYTE
