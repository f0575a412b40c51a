"""Tasks that are cancelled by their ids while workers run them: each runs or is cancelled, none both, none lost.

All tasks wait before eight Celery workers, each a process, begin to run them. As soon as one has run, four other
processes cancel a tenth of all, chosen at random and one by one. A task that an answer names as cancelled must not run,
and every other one must run once. The rate of cancelling is that of all four processes together, beside the workers.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import kombu_pool
from benchmarks import figures, progress
from benchmarks.children import Child
from benchmarks.contenders import sample
from benchmarks.keys import application
from benchmarks.keys.stores import stores
from benchmarks.runs import Benchmark, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.brokers import Broker

WORKERS, CANCELLERS, SENDERS = 8, 4, 2
#: Share of the tasks that are asked to be cancelled.
SHARE = 0.1
HEADINGS = ("store", "tasks", "asked to cancel", "cancelled", "held or run", "ran", "both", "lost", "twice")
SPEEDS = ("tasks", "cancelled", "p50", "p99", "longest")


class Outcome(NamedTuple):
    """What became of the tasks, and the speed of the cancellations: a second, and their latencies in milliseconds."""

    tasks: int
    asked: int
    cancelled: int
    ran: int
    both: int
    lost: int
    twice: int
    tasks_a_second: float
    cancelled_a_second: float
    p50: float
    p99: float
    longest: float

    @property
    def wrong(self) -> int:
        """The tasks that did not have exactly one outcome."""
        return self.both + self.lost + self.twice

    def texts(self) -> list[str]:
        """Return the cells of the table."""
        counts = (self.tasks, self.asked, self.cancelled, self.asked - self.cancelled, self.ran)
        speeds = (f"{self.tasks_a_second:,.0f}/s", f"{self.cancelled_a_second:,.0f}/s")
        times = (f"{ms:.3g} ms" for ms in (self.p50, self.p99, self.longest))
        return [*(f"{count:,}" for count in (*counts, self.both, self.lost, self.twice)), *speeds, *times]


def cancel(url: str, numbers: Sequence[int], begin: str) -> Iterator[Any]:
    """Cancel tasks from the moment on that a file exists; yield that it can begin, and the outcome."""
    driver = kombu_pool.open(url)
    messages = driver.message_controller
    messages.find(application.key(-1))
    yield "ready"
    while not Path(begin).exists():
        time.sleep(0.001)
    cancelled, latencies = [], []
    began = before = time.perf_counter()
    for number in numbers:
        if messages.cancel(application.key(number)).messages:
            cancelled.append(number)
        now = time.perf_counter()
        latencies.append(now - before)
        before = now
    driver.close()
    yield cancelled, latencies, before - began


def race(broker: Callable[[Path], Broker], tasks: int, folder: Path) -> Outcome:
    """Run tasks and cancel some of them at the same time."""
    prepared = broker(folder)
    variables = application.of(prepared, folder)
    send(tasks, variables, folder)
    asked = random.sample(range(tasks), int(tasks * SHARE))
    begin = folder / "begin"
    with ExitStack() as stack:
        cancellers = [
            stack.enter_context(
                Child(cancel, folder, url=prepared.url, numbers=asked[each::CANCELLERS], begin=str(begin))
            )
            for each in range(CANCELLERS)
        ]
        for each in cancellers:
            each.answer()
        stack.enter_context(application.workers(min(WORKERS, tasks // 100), variables, folder))
        application.wait_for(1, folder)
        began = time.perf_counter()
        begin.touch()
        answers = [each.answer() for each in cancellers]
        cancelled = [number for numbers, _, _ in answers for number in numbers]
        application.wait_for(tasks - len(cancelled), folder)
        seconds = time.perf_counter() - began
        time.sleep(1)  # a task that runs although it was cancelled is late
    return outcome(tasks, asked, answers, folder, seconds)


def send(tasks: int, variables: dict[str, str], folder: Path) -> None:
    """Send all tasks, from a few processes."""
    bounds = [tasks * each // SENDERS for each in range(SENDERS + 1)]
    with ExitStack() as stack:
        senders = [
            stack.enter_context(Child(application.send, folder, with_environment=variables, first=first, last=last))
            for first, last in itertools.pairwise(bounds)
        ]
        for sender in senders:
            sender.answer()


def outcome(tasks: int, asked: Sequence[int], answers: Sequence[Any], folder: Path, seconds: float) -> Outcome:
    """Compare the record of the tasks that ran with the answers of the processes that cancelled."""
    ran = application.ran(folder)
    cancelled = {number for numbers, _, _ in answers for number in numbers}
    latencies = sorted(latency * 1000 for _, each, _ in answers for latency in each)
    return Outcome(
        tasks,
        len(asked),
        len(cancelled),
        len(ran),
        both=len(cancelled & ran.keys()),
        lost=tasks - len(cancelled | ran.keys()),
        twice=sum(times > 1 for times in ran.values()),
        tasks_a_second=ran.total() / seconds,
        cancelled_a_second=len(asked) / max(spent for _, _, spent in answers),
        p50=latencies[len(latencies) // 2],
        p99=latencies[len(latencies) * 99 // 100],
        longest=latencies[-1],
    )


def measured(run: Run) -> dict[str, Outcome]:
    """Let each store run the race once."""
    tasks = run.choose(100_000, 200)
    subjects = {name: partial(sample, contender, race, tasks) for name, contender in stores().items()}
    return {name: outcomes[0] for name, outcomes in run.interleave(subjects, rounds=1).items()}


def measure(run: Run) -> Iterator[figures.Figure]:
    """Count the tasks of each store that did not have exactly one outcome."""
    for name, found in measured(run).items():
        ours = f"{found.wrong} of {found.tasks:,}"
        what = f"tasks both run and cancelled, or neither, or run twice, {name}"
        yield figures.Figure(what, ours, f"{found.cancelled:,} cancelled", found.wrong, 0, "tasks", at_most=True)


def table(outcomes: dict[str, Outcome]) -> str:
    """Return all outcomes as a Markdown table."""
    headings = (*HEADINGS, *SPEEDS)
    rows = [headings, ["---"] * len(headings), *([name, *found.texts()] for name, found in outcomes.items())]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> None:
    """Print the table; ``--quick`` only checks that it can be made."""
    with progress.display(1) as display:
        display.begin("cancellation")
        print(table(measured(Run(display, quick="--quick" in sys.argv))))


BENCHMARK = Benchmark("cancellation", "Does each task run or is cancelled, and never both?", measure)

if __name__ == "__main__":
    from benchmarks.keys import cancellation  # noqa: PLW0406 - its children import it by that name

    cancellation.main()
