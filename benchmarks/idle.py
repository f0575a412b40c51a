"""The processor time of a consumer that waits on an empty queue.

A Kombu ``Consumer`` drains events with a timeout of a second, as Kombu's own loops do. After a warm-up, the process
reads its processor time, waits, and reads it again. Kombu's filesystem transport is measured at the same time.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from statistics import median
from typing import TYPE_CHECKING

from kombu import Consumer

from benchmarks import brokers, figures
from benchmarks.children import Child
from benchmarks.runs import ROUNDS, Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu import Connection

    from benchmarks.runs import Run

WARM_UP = 2.0
PEER = "filesystem"
BROKERS = {"ours": brokers.sqlite_full, PEER: brokers.filesystem}


def idle(broker: brokers.Broker, seconds: float) -> float:
    """Wait for messages, and return the used percentage of a core."""
    with brokers.connected(broker) as channel, Consumer(channel, [brokers.QUEUE]):
        client = channel.connection.client
        _drain(client, WARM_UP)
        before = _processor_time()
        elapsed = _drain(client, seconds)
        return 100 * (_processor_time() - before) / elapsed


def _drain(client: Connection, seconds: float) -> float:
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < seconds:
        try:
            client.drain_events(timeout=1)
        except TimeoutError:
            continue
    return elapsed


def _processor_time() -> float:
    times = os.times()
    return times.user + times.system


def one_round(run: Run, seconds: float) -> dict[str, float]:
    """Return the percentages of both consumers."""
    with run.fresh() as folder, ExitStack() as stack:
        (folder / "messages").mkdir()
        children = {
            name: stack.enter_context(Child(idle, folder, broker=broker(folder), seconds=seconds))
            for name, broker in BROKERS.items()
        }
        return {name: child.answer() for name, child in children.items()}


def measure(run: Run) -> Iterator[figures.Figure]:
    """Measure kombu_pool and the peer at the same time."""
    rounds, seconds = run.choose((ROUNDS, 15.0), (1, 3.0))
    found = []
    with run.progress.steps(rounds) as step:
        for _ in range(rounds):
            step(f"{seconds:.0f} idle seconds")
            found.append(one_round(run, seconds))
    ours, theirs = (median(each[name] for each in found) for name in BROKERS)
    yield figures.Figure(
        "processor, idle consumer on SQLite", f"{ours:.2f} %", f"{PEER} {theirs:.2f} %", ours, 1, "%", at_most=True
    )


BENCHMARK = Benchmark("idle", "What does an idle consumer cost?", measure)
