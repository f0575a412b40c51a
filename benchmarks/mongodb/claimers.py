"""Contention between several claimers of one queue in MongoDB.

One process, or eight at once, empty a queue through the library: claim ten messages, acknowledge these ten, and repeat
until a claim is empty. All begin at the same moment, when each is connected. Measured are the messages per second of
all processes together, and the share of its fair part that the least successful of the eight received.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import kombu_pool
from benchmarks import backlog, figures, servers
from benchmarks.children import Child, ask
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.runs import Run

#: Messages in a claim.
BATCH = 10
#: Number of concurrent claimers.
MANY = 8


class Emptied(NamedTuple):
    """The rate of all processes together, and the least successful one's share of its fair part."""

    rate: float
    least: float


def empty(store: str, signal: str) -> Iterator[Any]:
    """Yield "ready", wait for a file, empty the queue, and yield the number of messages, the begin and the end."""
    driver = kombu_pool.open(store)
    driver.message_controller.count("bench")
    yield "ready"
    while not Path(signal).exists():
        time.sleep(0.001)
    began, count = time.monotonic(), 0
    while claimed := _claim_and_ack(driver):
        count += claimed
    yield [count, began, time.monotonic()]
    driver.close()


def _claim_and_ack(driver: kombu_pool.DataDriver) -> int:
    """Claim and acknowledge once; return the number of messages."""
    claim_id, messages = driver.claim_controller.create("bench", backlog.CLAIM, None, BATCH)
    refused = driver.message_controller.delete_claimed("bench", [(each["id"], str(claim_id)) for each in messages])
    if refused:
        raise SystemExit(f"{len(refused)} of {len(messages)} messages were not acknowledged")
    return len(messages)


def emptied(claimers: int, messages: int, folder: Path) -> Emptied:
    """Fill a queue, and empty it with that many processes."""
    signal = folder / "begin"
    with servers.mongodb(folder) as store, ExitStack() as stack:
        ask(backlog.fill, folder, store=store, messages=messages)
        children = [stack.enter_context(Child(empty, folder, store=store, signal=str(signal))) for _ in range(claimers)]
        for child in children:
            child.answer()
        signal.touch()
        return _summary([child.answer() for child in children], messages)


def _summary(answers: Sequence[tuple[int, float, float]], messages: int) -> Emptied:
    counts, began, ended = zip(*answers, strict=True)
    if sum(counts) != messages:
        raise SystemExit(f"{sum(counts)} of {messages} messages were claimed")
    return Emptied(messages / (max(ended) - min(began)), min(counts) * len(counts) / messages)


def measure(run: Run) -> Iterator[figures.Figure]:
    """Empty a queue with one and with eight claimers."""
    messages = run.choose(20_000, 1000)
    samples = run.interleave({f"{count} at once": partial(emptied, count, messages) for count in (MANY, 1)}, rounds=5)
    many, one = samples.values()
    yield figures.rates(
        f"{MANY} claimers of one queue, MongoDB",
        [each.rate for each in many],
        "one claimer",
        [each.rate for each in one],
        1,
    )
    least = [each.least for each in many]
    share = f"{median(least) * messages / MANY:,.0f} messages"
    yield figures.Figure(
        f"least successful of {MANY} claimers, MongoDB", share, f"fair share {messages / MANY:,.0f}", median(least), 0.5
    )


BENCHMARK = Benchmark("mongodb-claimers", "Do many claimers of one queue on MongoDB slow each other down?", measure)
