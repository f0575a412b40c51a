"""Tasks that are revoked before a worker has them: while no worker is up, and just before they are sent to an idle one.

First, tasks wait while no worker is up, a tenth of them is revoked, and a worker starts: the revoked ones must not run,
and their results must become ``REVOKED``. Then, while the worker waits for tasks, one process revokes a task and sends
it right afterwards, two hundred times: counted are the tasks that ran though they were revoked.
The same is done with Kombu's transports for Redis and RabbitMQ.
"""

from __future__ import annotations

import random
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from celery.result import AsyncResult

from benchmarks import figures, progress
from benchmarks.app import app
from benchmarks.children import ask
from benchmarks.contenders import sample
from benchmarks.keys import application
from benchmarks.keys.stores import stores
from benchmarks.redis import contenders as on_redis
from benchmarks.runs import Benchmark, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from benchmarks.brokers import Broker

#: Waiting tasks for each trial with an idle worker, and the share of them that is revoked.
WAITING, SHARE = 5, 0.1
#: Pause between two trials, in seconds: the worker is idle again.
PAUSE = 0.05
HEADINGS = (
    "broker",
    "revoked, no worker up",
    "of them ran",
    "REVOKED",
    "one revoke",
    "revoked, then sent",
    "of them ran",
)


class Outcome(NamedTuple):
    """How many tasks were revoked and ran, without a worker and with one; the time of a revoke in milliseconds."""

    waiting: int
    waiting_ran: int
    waiting_ended: int
    milliseconds: float
    sent: int
    sent_ran: int

    def texts(self) -> list[str]:
        """Return the cells of the table."""
        counts = (str(self.waiting), str(self.waiting_ran), str(self.waiting_ended))
        return [*counts, f"{self.milliseconds:.3g} ms", str(self.sent), str(self.sent_ran)]


def revoke_waiting(tasks: int) -> tuple[list[int], float]:
    """Send tasks, and revoke some of them one by one; return their numbers, and the mean seconds of a revoke."""
    application.send(0, tasks)
    revoked = random.sample(range(tasks), int(tasks * SHARE))
    began = time.perf_counter()
    for number in revoked:
        app.control.revoke(application.key(number))
    return revoked, (time.perf_counter() - began) / len(revoked)


def revoke_and_send(first: int, last: int) -> str:
    """Revoke each task and send it, wait until it has a result, and go on."""
    for number in range(first, last):
        app.control.revoke(application.key(number))
        application.note.apply_async((number,), task_id=application.key(number))
        time.sleep(PAUSE)
    until = time.monotonic() + application.TIMEOUT
    while revoked_of(range(first, last), with_others=True) < last - first and time.monotonic() < until:
        time.sleep(PAUSE)
    return "sent"


def revoked_of(numbers: range | list[int], *, with_others: bool = False) -> int:
    """Return how many of these tasks have the state ``REVOKED``, or any final one."""
    results = [AsyncResult(application.key(number), app=app) for number in numbers]
    return sum(result.ready() if with_others else result.state == "REVOKED" for result in results)


def revoke(broker: Callable[[Path], Broker], trials: int, folder: Path) -> Outcome:
    """Revoke tasks without a worker and with one."""
    variables = application.of(broker(folder), folder, with_results=True)
    tasks = WAITING * trials
    revoked, seconds = ask(revoke_waiting, folder, with_environment=variables, tasks=tasks)
    with application.workers(1, variables, folder, pool="prefork"):
        application.wait_for(tasks - len(revoked), folder)
        ask(revoke_and_send, folder, with_environment=variables, first=tasks, last=tasks + trials)
        ended = ask(revoked_of, folder, with_environment=variables, numbers=revoked)
    ran = application.ran(folder)
    waiting_ran, sent_ran = (len(ran.keys() & {*numbers}) for numbers in (revoked, range(tasks, tasks + trials)))
    return Outcome(len(revoked), waiting_ran, ended, seconds * 1000, trials, sent_ran)


def measured(run: Run) -> dict[str, Outcome]:
    """Revoke tasks of each broker that can be measured here."""
    trials = run.choose(200, 10)
    with run.fresh() as folder, on_redis.rabbitmq(folder) as amqp:
        contenders = {f"pool, {name}": contender for name, contender in stores().items()}
        if "pool, Redis" in contenders:
            contenders["redis://"] = on_redis.redis
        if amqp:
            contenders["RabbitMQ"] = on_redis.amqp(amqp)
        subjects = {name: partial(sample, contender, revoke, trials) for name, contender in contenders.items()}
        return {name: outcomes[0] for name, outcomes in run.interleave(subjects, rounds=1).items()}


def measure(run: Run) -> Iterator[figures.Figure]:
    """Count the revoked tasks of each store that ran."""
    outcomes = measured(run)
    for name, found in outcomes.items():
        if name.startswith("pool"):
            store = name.removeprefix("pool, ")
            yield _figure(f"revoked while no worker is up, and run, {store}", found.waiting_ran, found.waiting)
            yield _figure(f"revoked before they are sent, and run, {store}", found.sent_ran, found.sent)


def _figure(what: str, ran: int, revoked: int) -> figures.Figure:
    return figures.Figure(what, f"{ran} of {revoked}", "", ran, 0, "tasks", at_most=True)


def table(outcomes: Mapping[str, Outcome]) -> str:
    """Return all outcomes as a Markdown table."""
    rows = [HEADINGS, ["---"] * len(HEADINGS), *([name, *found.texts()] for name, found in outcomes.items())]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> None:
    """Print the table; ``--quick`` only checks that it can be made."""
    with progress.display(1) as display:
        display.begin("revocation")
        print(table(measured(Run(display, quick="--quick" in sys.argv))))


BENCHMARK = Benchmark("revocation", "Does a task run that was revoked before a worker had it?", measure)

if __name__ == "__main__":
    from benchmarks.keys import revocation  # noqa: PLW0406 - its children import it by that name

    revocation.main()
