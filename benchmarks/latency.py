"""The time from a publish in one process to the callback in another, without other load.

One process publishes alternately to kombu_pool and to Kombu's filesystem transport, after pauses of random length, so
that a polling consumer is met at any point of its interval. The consumers run in separate processes. The measurement
begins before ``Producer.publish`` and ends with the first line of the callback. SQLite waits for the disk (``FULL``).
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING, Any

from kombu import Consumer, Producer

from benchmarks import brokers, figures
from benchmarks.children import Child
from benchmarks.runs import ROUNDS, Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmarks.runs import Run

#: Range of the pauses, in seconds; as wide as the polling interval of the filesystem transport.
PAUSES = (0.1, 1.1)
PEER = "filesystem"
BROKERS = {"ours": brokers.sqlite_full, PEER: brokers.filesystem}


def listen(broker: brokers.Broker, messages: int) -> Iterator[Any]:
    """Yield "listening", and then the seconds of each message."""
    seconds: list[float] = []

    def arrived(body: dict[str, Any], message: Any) -> None:
        seconds.append(time.monotonic() - body["sent"])
        message.ack()

    with brokers.connected(broker) as channel, Consumer(channel, [brokers.QUEUE], callbacks=[arrived]):
        yield "listening"
        while len(seconds) < messages:
            channel.connection.client.drain_events(timeout=30)
    yield seconds


def publish(targets: Sequence[brokers.Broker], messages: int, pauses: tuple[float, float]) -> str:
    """Publish to the brokers alternately, after random pauses."""
    with ExitStack() as stack:
        channels = [stack.enter_context(brokers.connected(broker)) for broker in targets]
        producers = [Producer(channel, exchange=brokers.QUEUE.exchange, routing_key="bench") for channel in channels]
        for _ in range(messages):
            for producer in producers:
                time.sleep(random.uniform(*pauses))  # noqa: S311 - no secret
                producer.publish({**brokers.BODY, "sent": time.monotonic()})
    return "done"


def one_round(
    targets: Mapping[str, brokers.Broker], messages: int, pauses: tuple[float, float], folder: Path
) -> dict[str, float]:
    """Return the median latency of each broker."""
    with ExitStack() as stack:
        listeners = {
            name: stack.enter_context(Child(listen, folder, broker=broker, messages=messages))
            for name, broker in targets.items()
        }
        for listener in listeners.values():
            listener.answer()
        publisher = stack.enter_context(
            Child(publish, folder, targets=list(targets.values()), messages=messages, pauses=pauses)
        )
        found = {name: median(listener.answer()) for name, listener in listeners.items()}
        publisher.answer()
        return found


def measure(run: Run) -> Iterator[figures.Figure]:
    """Measure kombu_pool and the peer alternately."""
    rounds = run.choose(ROUNDS, 1)
    found = []
    with run.progress.steps(rounds) as step:
        for _ in range(rounds):
            step(f"SQLite FULL and {PEER}")
            with run.fresh() as folder:
                (folder / "messages").mkdir()
                targets = {name: broker(folder) for name, broker in BROKERS.items()}
                found.append(one_round(targets, run.choose(25, 3), PAUSES, folder))
    yield figure("latency when idle, p50", *([each[name] for each in found] for name in BROKERS), PEER, 1 / 50)


def figure(what: str, ours: Sequence[float], theirs: Sequence[float], peer: str, target: float) -> figures.Figure:
    """Compare the latencies, given in seconds."""
    mine, other = (f"{1000 * median(seconds):.3g} ms" for seconds in (ours, theirs))
    return figures.Figure(what, mine, f"{peer} {other}", figures.ratio(ours, theirs), target, at_most=True)


BENCHMARK = Benchmark("latency", "How soon does a waiting consumer receive a message of another process?", measure)
