"""Many messages through one SQLite file, with producers and consumers at the same time.

Producers publish one by one and pause while more than a few thousand messages wait; consumers acknowledge each message.
SQLite does not wait for the disk (``NORMAL``), for the highest load.
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
#: Share of the messages after which memory is expected to be constant.
WARM_UP = 0.1
#: A producer counts the waiting messages after each 500, and pauses while there are more than 10,000.
CHECK_EVERY, MAX_WAITING = 500, 10_000
#: Seconds without a message after which a consumer ends.
IDLE_TIMEOUT = 5


class Resident:
    """The growth of the resident memory of this process: its peak above its value after the warm-up."""

    def __init__(self, warm_up: int, every: int = 1000) -> None:
        self._memory = psutil.Process().memory_info
        self._warm_up = warm_up
        self._every = every
        self._seen = 0
        self._base = 0
        self._peak = 0

    def count_message(self) -> None:
        """Count a message; measure the memory after every ``every`` messages."""
        self._seen += 1
        if self._seen % self._every == 0 and self._seen >= self._warm_up:
            now = self._memory().rss
            self._base = self._base or now
            self._peak = max(self._peak, now)

    @property
    def growth(self) -> float:
        """The growth, in mebibytes."""
        return (self._peak - self._base) / MEBIBYTE


def produce(broker: brokers.Broker, messages: int) -> Iterator[Any]:
    """Publish messages, and yield the growth in mebibytes."""
    resident = Resident(int(messages * WARM_UP))
    with brokers.connected(broker) as channel:
        producer = Producer(channel, exchange=brokers.QUEUE.exchange, routing_key="bench", auto_declare=False)
        for number in range(messages):
            if number % CHECK_EVERY == 0:
                _wait_for_consumers(channel)
            producer.publish(brokers.BODY)
            resident.count_message()
    yield resident.growth


def _wait_for_consumers(channel: Any) -> None:
    while channel.queue_declare("bench", passive=True).message_count > MAX_WAITING:
        time.sleep(0.05)


def consume(broker: brokers.Broker, messages: int) -> Iterator[Any]:
    """Consume until no more messages arrive, and yield the growth in mebibytes and the number of messages."""
    resident = Resident(int(messages * WARM_UP))
    seen = 0

    def arrived(_: Any, message: Any) -> None:
        nonlocal seen
        message.ack()
        seen += 1
        resident.count_message()

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
            client.drain_events(timeout=IDLE_TIMEOUT)
    except TimeoutError:
        return


@dataclass(frozen=True)
class Traffic:
    """The measurements, in mebibytes."""

    producer_growth: float
    consumer_growth: float
    largest: float
    left: float


def flow(folder: Path, messages: int, producers: int, consumers: int) -> Traffic:
    """Publish and consume the messages."""
    broker = brokers.sqlite_normal(folder)
    with ExitStack() as stack:

        def start(role: Callable[..., Any], count: int) -> list[Child]:
            share = messages // count
            return [stack.enter_context(Child(role, folder, broker=broker, messages=share)) for _ in range(count)]

        consuming = start(consume, consumers)
        for consumer in consuming:
            consumer.answer()
        producing = start(produce, producers)
        sizes = list(_sizes(folder, [*producing, *consuming]))
        growths = [producer.answer() for producer in producing]
        consumed = [consumer.answer() for consumer in consuming]
    if (seen := sum(each[1] for each in consumed)) != messages // producers * producers:
        raise SystemExit(f"{seen:,} of {messages:,} messages arrived")
    return Traffic(max(growths), max(each[0] for each in consumed), max(sizes), sizes[-1])


def _sizes(folder: Path, children: Sequence[Child]) -> Iterator[float]:
    """Yield the size of the database files while the children run, and after they ended."""
    while any(child.is_running for child in children):
        yield _size(folder)
        time.sleep(0.1)
    yield _size(folder)


def _size(folder: Path) -> float:
    total = 0
    for path in folder.glob("pool.db*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # deleted since it was listed
            continue
    return total / MEBIBYTE
