"""Unique tasks that many processes post at the same time while these are killed: one message each, and no lock stays.

Sixteen processes post the same thousand unique tasks, each in an order of its own; every 20 ms one of them is killed
with SIGKILL, wherever it is, and replaced. The last ones post all. Then exactly one message must wait for each task.
After a worker has run them, each is posted again: one that is refused then, though no message waits, is stuck. Two
libraries that lock in Redis and publish afterwards, ``celery-once`` and ``celery-singleton``, are killed in the same
way, with ``redis://`` as their broker.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import figures, progress
from benchmarks.children import ask
from benchmarks.contenders import sample
from benchmarks.keys import application, unique_application
from benchmarks.keys.stores import stores
from benchmarks.keys.unique_application import ONCE, OURS, SINGLETON
from benchmarks.redis.contenders import redis
from benchmarks.runs import Benchmark, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from benchmarks.brokers import Broker

PRODUCERS, KEYS, KILLS = 16, 1000, 50
HEADINGS = ("unique tasks", "keys", "producers killed", "messages", "without a message", "with two", "stuck")
MODULE = unique_application.__name__


class Outcome(NamedTuple):
    """How many keys and kills there were, and how many keys had no message, two, or none ever again."""

    keys: int
    kills: int
    messages: int
    missing: int
    twice: int
    stuck: int

    @property
    def wrong(self) -> int:
        """The keys that did not have exactly one message, or can have none again."""
        return self.missing + self.twice + self.stuck


def kill_and_count(kind: str, broker: Callable[[Path], Broker], numbers: int, folder: Path) -> Outcome:
    """Kill the producers of keys, of a thousand at a time, and count what became of the keys."""
    variables = application.of(broker(folder), folder)
    kills = messages = 0
    step = min(numbers, KEYS)
    for first in range(0, numbers, step):
        killed, messages = ask(
            unique_application.post_under_kills,
            folder,
            with_environment=variables,
            kind=kind,
            first=first,
            last=first + step,
            producers=min(PRODUCERS, step // 25),
            kills=KILLS * step // KEYS,
        )
        kills += killed
    work(messages, variables, folder)
    ran = application.ran(folder)
    (folder / "record").unlink()
    again = ask(unique_application.post_all, folder, with_environment=variables, kind=kind, first=0, last=numbers)
    work(again, variables, folder)
    twice = sum(times > 1 for times in ran.values())
    return Outcome(numbers, kills, messages, numbers - len(ran), twice, numbers - len(application.ran(folder)))


def work(messages: int, variables: Mapping[str, str], folder: Path) -> None:
    """Let a worker run all tasks that wait."""
    with application.workers(1, variables, folder, MODULE):
        application.wait_for(messages, folder)


def measured(run: Run) -> dict[str, Outcome]:
    """Kill the producers of each store, and of the libraries that are installed."""
    numbers = run.choose(4 * KEYS, KEYS // 10)
    subjects = {
        f"{OURS}, {name}": partial(sample, contender, partial(kill_and_count, OURS), numbers)
        for name, contender in stores().items()
    }
    for kind in (ONCE, SINGLETON):
        if kind in unique_application.POSTS and "Redis" in stores():
            subjects[f"{kind}, redis://"] = partial(sample, redis, partial(kill_and_count, kind), numbers)
    return {name: outcomes[0] for name, outcomes in run.interleave(subjects, rounds=1).items()}


def measure(run: Run) -> Iterator[figures.Figure]:
    """Count the keys of each store that did not have exactly one message, or can have none again."""
    outcomes = measured(run)
    peers = "; ".join(f"{name}: {found.wrong}" for name, found in outcomes.items() if not name.startswith(OURS))
    for name, found in outcomes.items():
        if name.startswith(OURS):
            what = f"keys without one message, or stuck, after {found.kills} kills, {name.removeprefix(f'{OURS}, ')}"
            yield figures.Figure(what, f"{found.wrong} of {found.keys:,}", peers, found.wrong, 0, "keys", at_most=True)


def table(outcomes: Mapping[str, Outcome]) -> str:
    """Return all outcomes as a Markdown table."""
    rows = [HEADINGS, ["---"] * len(HEADINGS)]
    rows += [[name, *(f"{count:,}" for count in found)] for name, found in outcomes.items()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> None:
    """Print the table; ``--quick`` only checks that it can be made."""
    with progress.display(1) as display:
        display.begin("unique")
        print(table(measured(Run(display, quick="--quick" in sys.argv))))


BENCHMARK = Benchmark("unique", "Does each unique task have one message, though its producers are killed?", measure)

if __name__ == "__main__":
    from benchmarks.keys import unique  # noqa: PLW0406 - its children import it by that name

    unique.main()
