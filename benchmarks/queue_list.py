"""The time of ``celery pool queues``, from the start of the command to its end, with 200,000 messages that wait.

They wait in 30 queues or in 1,000, a tenth of them delayed. The command runs without Celery (``python -m kombu_pool``),
as a new process each time, on modules that are compiled already; its output goes to a file.
"""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import kombu_pool
from benchmarks import brokers, figures, progress
from benchmarks.children import ask, environment
from benchmarks.contenders import sample
from benchmarks.keys.stores import stores
from benchmarks.runs import Benchmark, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from kombu_pool.model import NewMessage

#: Number of queues -> the seconds that the command may take.
LIMITS = {30: 0.6, 1000: 1.3}
MESSAGES = 200_000
CALLS = 9
_BATCH = 1000


def fill(url: str, queues: int, messages: int) -> str:
    """Create queues and post an equal number of messages to each."""
    driver = kombu_pool.open(url)
    for number in range(queues):
        queue, left = f"queue-{number:04}", messages // queues
        driver.queue_controller.create(queue)
        while left > 0:
            driver.message_controller.post(queue, [_message(each) for each in range(min(left, _BATCH))], None)
            left -= _BATCH
    driver.close()
    return "filled"


def _message(number: int) -> NewMessage:
    message: NewMessage = {"ttl": None, "body": brokers.BODY}
    if not number % 10:
        message["delay"] = 3600
    return message


def call(queues: int, calls: int, broker: Callable[[Path], brokers.Broker], messages: int, folder: Path) -> list[float]:
    """Fill a store; return the seconds that each of some calls of the command took."""
    url = broker(folder).url
    ask(fill, folder, url=url, queues=queues, messages=messages)
    command = [sys.executable, "-m", "kombu_pool", "--broker", url, "queues"]
    variables = {**environment(folder), "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    seconds = []
    for _ in range(calls + 1):
        with (folder / "output").open("w") as output:
            began = time.perf_counter()
            subprocess.run(command, env=variables, stdout=output, check=True)
        seconds.append(time.perf_counter() - began)
    printed = (folder / "output").read_text()
    if len(printed.splitlines()) != queues + 2 or f"{queues} queues" not in printed:
        raise SystemExit(f"The command does not list {queues} queues:\n{printed}")
    # The first call compiles the modules.
    return seconds[1:]


def measured(run: Run) -> dict[str, dict[int, list[float]]]:
    """Return the seconds of the calls by store and by number of queues."""
    messages, calls = run.choose((MESSAGES, CALLS), (2000, 1))
    subjects = {
        f"{name}, {queues}": partial(sample, contender, partial(call, queues, calls), messages)
        for name, contender in stores().items()
        for queues in LIMITS
    }
    found: dict[str, dict[int, list[float]]] = {}
    for subject, samples in run.interleave(subjects, rounds=1).items():
        name, _, queues = subject.rpartition(", ")
        found.setdefault(name, {})[int(queues)] = samples[0]
    return found


def measure(run: Run) -> Iterator[figures.Figure]:
    """Compare the time of the command with its limit."""
    for name, by_number in measured(run).items():
        for queues, seconds in by_number.items():
            what = f"`queues` of {queues:,} queues, {name}"
            middle = median(seconds)
            yield figures.Figure(what, f"{middle:.2f} s", "", middle, LIMITS[queues], "s", at_most=True)


def table(seconds: Mapping[str, Mapping[int, Sequence[float]]]) -> str:
    """Return the medians and the extremes as a Markdown table."""
    rows = [("store", *(f"{queues:,} queues" for queues in LIMITS)), ["---"] * (len(LIMITS) + 1)]
    for name, by_number in seconds.items():
        each = (f"{median(taken):.2f} s ({min(taken):.2f} to {max(taken):.2f})" for taken in by_number.values())
        rows.append((name, *each))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> None:
    """Print the table; ``--quick`` only checks that it can be made."""
    with progress.display(1) as display:
        display.begin("queue list")
        print(table(measured(Run(display, quick="--quick" in sys.argv))))


BENCHMARK = Benchmark("queue-list", "How long does it take to list the queues?", measure)

if __name__ == "__main__":
    from benchmarks import queue_list  # noqa: PLW0406 - its children import it by that name

    queue_list.main()
