"""Whether several claimers of one queue of a MongoDB slow each other down.

One process, or eight at once, empty a queue through the library: claim ten messages, acknowledge these ten, again and
again, until a claim brings nothing. All begin at the same moment, when each has its connection. What counts is how many
messages they get in a second in all, and the part of its fair share that the least successful of the eight got.
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

AT_ONCE = 10
MANY = 8


class Emptied(NamedTuple):
    """How many messages a second all got, and what part of its fair share the least successful one got."""

    rate: float
    least: float


def empty(store: str, signal: str) -> Iterator[Any]:
    """Say that we are ready, wait for a file, empty the queue, and say how many messages we got, from when to when."""
    driver = kombu_pool.open(store)
    driver.message_controller.count("bench")
    yield "ready"
    while not Path(signal).exists():
        time.sleep(0.001)
    began, got = time.monotonic(), 0
    while taken := _take(driver):
        got += taken
    yield [got, began, time.monotonic()]
    driver.close()


def _take(driver: kombu_pool.DataDriver) -> int:
    """Claim and acknowledge once; return how many messages that were."""
    claim_id, lent = driver.claim_controller.create("bench", backlog.CLAIM, None, AT_ONCE)
    refused = driver.message_controller.delete_claimed("bench", [(each["id"], str(claim_id)) for each in lent])
    if refused:
        raise SystemExit(f"{len(refused)} of {len(lent)} messages were not acknowledged")
    return len(lent)


def emptied(claimers: int, messages: int, folder: Path) -> Emptied:
    """Fill a queue, and let so many processes empty it."""
    signal = folder / "begin"
    with servers.mongodb(folder) as store, ExitStack() as stack:
        ask(backlog.fill, folder, store=store, messages=messages)
        children = [stack.enter_context(Child(empty, folder, store=store, signal=str(signal))) for _ in range(claimers)]
        for child in children:
            child.answer()
        signal.touch()
        return _summary([child.answer() for child in children], messages)


def _summary(answers: Sequence[tuple[int, float, float]], messages: int) -> Emptied:
    got, began, ended = zip(*answers, strict=True)
    if sum(got) != messages:
        raise SystemExit(f"{sum(got)} messages were claimed of {messages}")
    return Emptied(messages / (max(ended) - min(began)), min(got) * len(got) / messages)


def measure(run: Run) -> Iterator[figures.Figure]:
    """Let one and then eight empty a queue."""
    messages = run.choose(20_000, 2000)
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
