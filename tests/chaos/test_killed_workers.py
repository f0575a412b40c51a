"""Workers under load whose processes are killed one after the other."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest
from kombu import Producer, Queue

from tests.support.celery.worker import eventually
from tests.support.chaos.task_outcomes import TaskOutcomes
from tests.support.chaos.tasks import WORK
from tests.support.limits import LIMIT, LONG_TEST

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.support.celery.site import Site
    from tests.support.celery.worker import Worker
    from tests.support.chaos.scale import Scale

WORKERS, CONCURRENCY, MULTIPLIER, TTL = 4, 2, 8, 5.0
PREFETCH = CONCURRENCY * MULTIPLIER
#: Most seconds after the sending: for the remaining tasks, the restarts and the end of the last claims.
REST = 3 * LIMIT


class Sender(threading.Thread):
    """Sends the tasks, spread over the time of the kills and never far ahead of the workers."""

    MAX_AHEAD, BATCH = 4000, 100

    def __init__(self, site: Site, outcomes: TaskOutcomes, scale: Scale) -> None:
        super().__init__(daemon=True)
        self._site, self._outcomes, self._scale = site, outcomes, scale
        self.sent = 0

    def run(self) -> None:
        began = time.monotonic()
        with self._site.app.connection() as connection, Producer(connection) as producer:
            Queue("celery")(connection.default_channel).declare()
            while self.sent < self._scale.tasks and (seconds := time.monotonic() - began) < self._scale.sending:
                if self._is_early(seconds):
                    time.sleep(0.05)
                else:
                    self._send(producer, range(self.sent, self.sent + self.BATCH))

    def _is_early(self, seconds: float) -> bool:
        """Return whether to wait: the last tasks should be sent when the kills end."""
        planned = self._scale.tasks * seconds / self._scale.killing
        return self.sent > min(planned, len(self._outcomes.ended)) + self.MAX_AHEAD

    def _send(self, producer: Producer, numbers: range) -> None:
        """Send a batch: single publishes would use most of the processor time that the workers need."""
        with producer.batch(max_size=self.BATCH):
            for number in numbers:
                headers, properties, body, _ = self._site.app.amqp.as_task_v2(f"t{number}", WORK)
                producer.publish(body, routing_key="celery", headers=headers, **properties)
        self.sent = numbers.stop


class WorkerGroup:
    """A constant number of workers."""

    def __init__(self, site: Site, rng: random.Random) -> None:
        self._site, self._rng = site, rng
        self._workers = [self._start() for _ in range(WORKERS)]
        self._remaining_children: set[int] = set()
        self.mains: set[int] = set()
        self.children: set[int] = set()

    def _start(self) -> Worker:
        arguments = ("--pool=prefork", f"--concurrency={CONCURRENCY}", "--loglevel=WARNING")
        return self._site.lone_worker(*arguments, ready=False)

    def kill_one(self, busy: set[str]) -> None:
        """Kill a random process of a busy worker; replace the worker if it is the main process."""
        candidates = [number for number, worker in enumerate(self._workers) if str(worker.pid) in busy]
        if not candidates:
            return
        number = self._rng.choice(candidates)
        worker = self._workers[number]
        children = sorted(worker.children())
        victim = self._rng.choice([worker.pid, *children])
        (self.mains if victim == worker.pid else self.children).add(victim)
        os.kill(victim, signal.SIGKILL)
        if victim == worker.pid:
            worker.wait()
            self._remaining_children.update(children)
            self._workers[number] = self._start()

    @property
    def kills(self) -> int:
        return len(self.mains) + len(self.children)

    def log(self) -> str:
        return "\n".join(worker.log for worker in self._workers)

    def close(self) -> None:
        """Kill the workers, and the remaining children of killed ones."""
        for worker in self._workers:
            worker.close()
        for pid in self._remaining_children:
            if _is_celery(pid):
                os.kill(pid, signal.SIGKILL)


def _is_celery(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - no path of ours
            return b"celery" in file.read()
    except OSError:
        return False


@pytest.mark.timeout(LONG_TEST)
@pytest.mark.scenario("killed workers")
def test_no_task_is_lost_and_only_what_a_killed_process_held_is_run_again(
    make_site: Callable[..., Site], rng: random.Random, scale: Scale, tally: Callable[..., None]
) -> None:
    options = {"claim_ttl": TTL}
    site = make_site(broker_transport_options=options, worker_prefetch_multiplier=MULTIPLIER)
    outcomes = TaskOutcomes(site.journal.path)
    group = WorkerGroup(site, rng)
    sender = Sender(site, outcomes, scale)
    try:
        sender.start()
        eventually(lambda: outcomes.read().ended)
        began = due = time.monotonic()
        while len(outcomes.read().ended) < sender.sent or sender.is_alive():
            assert time.monotonic() < began + scale.sending + REST, f"{sender.sent - len(outcomes.ended)} are not done"
            time.sleep(0.05)
            if due <= time.monotonic() < began + scale.killing:
                group.kill_one(outcomes.workers)
                due = time.monotonic() + scale.kills_every
        eventually(lambda: site.counts() == (0, 0), REST)
    finally:
        group.close()
    repeats, unattributed = outcomes.read().attribute_repeats(group.children, group.mains)
    lost = sender.sent - len(outcomes.ended)
    tally(tasks=sender.sent, kills=group.kills, run_again=outcomes.begun - len(outcomes.runs), lost=lost)

    assert lost == 0
    assert group.kills
    assert unattributed == []
    assert max((count for pid, count in repeats.items() if pid in group.children), default=0) <= 1
    assert max((count for pid, count in repeats.items() if pid in group.mains), default=0) <= PREFETCH
