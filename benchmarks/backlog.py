"""Whether publishing, claiming and acknowledging keep their pace with a million messages waiting.

One file gets a thousand messages, another a million. A process then does the same to each through the library: post 64
messages one by one, claim 64, acknowledge these 64, again and again, so that as many wait as before. The first cycles
do not count. SQLite does not wait for the disk (``NORMAL``), which would hide the difference.
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

AT_ONCE = 64
WARM_UP = 5
DEEP, SHALLOW = 1_000_000, 1000
CLAIM: ClaimMetadata = {"ttl": 60, "grace": 60}
VERBS = ("publish", "claim", "ack")


def message() -> NewMessage:
    """A message of 400 bytes."""
    return {"ttl": None, "body": brokers.BODY}


def fill(store: str, messages: int, at_once: int = 1000) -> int:
    """Post so many messages, in lists of a thousand, and return how many there are."""
    driver = kombu_pool.open(store)
    driver.queue_controller.create("bench")
    for _ in range(messages // at_once):
        driver.message_controller.post("bench", [message()] * at_once, None)
    there = driver.message_controller.count("bench")
    driver.close()
    return there


def turn(store: str, cycles: int) -> dict[str, float]:
    """Publish, claim and acknowledge, and return how many messages a second each can do."""
    driver = kombu_pool.open(store)
    for _ in range(WARM_UP):
        _cycle(driver)
    seconds = [_cycle(driver) for _ in range(cycles)]
    driver.close()
    return {verb: cycles * AT_ONCE / sum(spent) for verb, spent in zip(VERBS, zip(*seconds, strict=True), strict=True)}


def _cycle(driver: kombu_pool.DataDriver) -> tuple[float, float, float]:
    """Return the seconds that each verb took."""
    messages, claims = driver.message_controller, driver.claim_controller
    began = time.perf_counter()
    for _ in range(AT_ONCE):
        messages.post("bench", [message()], None)
    published = time.perf_counter()
    claim_id, lent = claims.create("bench", CLAIM, None, AT_ONCE)
    claimed = time.perf_counter()
    refused = messages.delete_claimed("bench", [(each["id"], str(claim_id)) for each in lent])
    acknowledged = time.perf_counter()
    if len(lent) != AT_ONCE or refused:
        raise SystemExit(f"{len(lent)} of {AT_ONCE} messages were lent, and {len(refused)} not acknowledged")
    return published - began, claimed - published, acknowledged - claimed


def rates(store: str, cycles: int, folder: Path) -> dict[str, float]:
    """Return the rates on a store that was filled before, found in a process of its own."""
    found: dict[str, float] = ask(turn, folder, store=store, cycles=cycles)
    return found


def measure(run: Run) -> Iterator[figures.Figure]:
    """Fill both files, then work on them by turns."""
    deep = run.choose(DEEP, 20_000)
    with ExitStack() as stack:
        folders = {depth: stack.enter_context(run.fresh()) for depth in (SHALLOW, deep)}
        yield from compared(run, "", {depth: brokers.store(folder, "NORMAL") for depth, folder in folders.items()})


def compared(run: Run, where: str, stores: Mapping[int, str]) -> Iterator[figures.Figure]:
    """Fill two stores, each with as many messages as its key says, and work on them by turns."""
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


BENCHMARK = Benchmark("backlog", "Does a long queue slow us down?", measure)
