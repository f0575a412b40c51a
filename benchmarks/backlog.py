"""The rates of publishing, claiming and acknowledging with a million waiting messages.

One file is filled with a thousand messages, another with a million. A process then repeats the same cycle on each
through the library: post 64 messages one by one, claim 64, acknowledge these 64, so that the queue keeps its length.
The first cycles do not count. SQLite does not wait for the disk (``NORMAL``), which would hide the difference.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import kombu_pool
from benchmarks import brokers, figures
from benchmarks.children import ask
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmarks.runs import Run
    from kombu_pool.model import ClaimMetadata, NewMessage

BATCH = 64
WARM_UP = 5
DEEP, SHALLOW = 1_000_000, 1000
CLAIM: ClaimMetadata = {"ttl": 60, "grace": 60}
VERBS = ("publish", "claim", "ack")


def message() -> NewMessage:
    """Return a message of 400 bytes."""
    return {"ttl": None, "body": brokers.BODY}


def fill(store: str, messages: int, batch: int = 1000) -> int:
    """Post the messages in lists of a thousand, and return the queue's count."""
    driver = kombu_pool.open(store)
    driver.queue_controller.create("bench")
    for _ in range(messages // batch):
        driver.message_controller.post("bench", [message()] * batch, None)
    count = driver.message_controller.count("bench")
    driver.close()
    return count


def run_cycles(store: str, cycles: int) -> dict[str, float]:
    """Publish, claim and acknowledge in cycles; return the messages per second of each operation."""
    driver = kombu_pool.open(store)
    for _ in range(WARM_UP):
        _cycle(driver)
    seconds = [_cycle(driver) for _ in range(cycles)]
    driver.close()
    return {verb: cycles * BATCH / sum(spent) for verb, spent in zip(VERBS, zip(*seconds, strict=True), strict=True)}


def _cycle(driver: kombu_pool.DataDriver) -> tuple[float, float, float]:
    """Return the seconds of each operation."""
    messages, claims = driver.message_controller, driver.claim_controller
    began = time.perf_counter()
    for _ in range(BATCH):
        messages.post("bench", [message()], None)
    published = time.perf_counter()
    claim_id, claimed_messages = claims.create("bench", CLAIM, None, BATCH)
    claim_end = time.perf_counter()
    refused = messages.delete_claimed("bench", [(each["id"], str(claim_id)) for each in claimed_messages])
    acknowledged = time.perf_counter()
    if len(claimed_messages) != BATCH or refused:
        raise SystemExit(f"{len(claimed_messages)} of {BATCH} messages claimed, {len(refused)} not acknowledged")
    return published - began, claim_end - published, acknowledged - claim_end


def rates(store: str, cycles: int, folder: Path) -> dict[str, float]:
    """Return the rates on a filled store, measured in a separate process."""
    measured: dict[str, float] = ask(run_cycles, folder, store=store, cycles=cycles)
    return measured


def measure(run: Run) -> Iterator[figures.Figure]:
    """Fill both files, then measure them alternately."""
    deep = run.choose(DEEP, 5000)
    with ExitStack() as stack:
        folders = {depth: stack.enter_context(run.fresh()) for depth in (SHALLOW, deep)}
        yield from compared(run, "", {depth: brokers.store(folder, "NORMAL") for depth, folder in folders.items()})


def compared(run: Run, where: str, stores: Mapping[int, str]) -> Iterator[figures.Figure]:
    """Fill two stores, each with the number of messages in its key, and measure them alternately."""
    with run.progress.steps(len(stores)) as step, run.fresh() as folder:
        for depth, store in stores.items():
            step(f"post {depth:,} messages")
            ask(fill, folder, store=store, messages=depth)
    cycles = run.choose(100, 10)
    samples = run.interleave(
        {f"{depth:,} waiting": partial(rates, store, cycles) for depth, store in stores.items()}, rounds=5
    )
    (shallow, little), (deep, much) = samples.items()
    for verb in VERBS:
        mine, other = ([each[verb] for each in sample] for sample in (much, little))
        yield figures.rates(f"{verb}{where}, {deep}", mine, shallow, other, 0.8)


BENCHMARK = Benchmark("backlog", "Does a long queue slow kombu_pool down?", measure)
