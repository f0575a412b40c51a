"""Workers whose processes are killed one after the other, while there is much to do."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest
from kombu import Producer, Queue

from tests.support.celery.worker import eventually
from tests.support.chaos.task_outcomes import Ledger
from tests.support.chaos.tasks import WORK

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.support.celery.site import Site
    from tests.support.celery.worker import Worker
    from tests.support.chaos.scale import Scale

WORKERS, CONCURRENCY, MULTIPLIER, TTL = 4, 2, 8, 5.0
PREFETCH = CONCURRENCY * MULTIPLIER
#: Seconds that everything may take beyond the sending: the rest, the restarts and the last claims' end.
REST = 60.0


class Sender(threading.Thread):
    """Sends tasks, spread over the killing, until there are enough or time is up; never far ahead of who does them."""

    AHEAD, AT_ONCE = 4000, 100

    def __init__(self, site: Site, ledger: Ledger, scale: Scale) -> None:
        super().__init__(daemon=True)
        self._site, self._ledger, self._scale = site, ledger, scale
        self.sent = 0

    def run(self) -> None:
        began = time.monotonic()
        with self._site.app.connection() as connection, Producer(connection) as producer:
            Queue("celery")(connection.default_channel).declare()
            while self.sent < self._scale.tasks and (seconds := time.monotonic() - began) < self._scale.sending:
                if self._is_early(seconds):
                    time.sleep(0.05)
                else:
                    self._send(producer, range(self.sent, self.sent + self.AT_ONCE))

    def _is_early(self, seconds: float) -> bool:
        """Tell whether the next ones are for later: the last ones should be there when the killing ends."""
        planned = self._scale.tasks * seconds / self._scale.killing
        return self.sent > min(planned, len(self._ledger.ended)) + self.AHEAD

    def _send(self, producer: Producer, numbers: range) -> None:
        """Send them together: one by one, they would take most of what the workers need."""
        with producer.batch(max_size=self.AT_ONCE):
            for number in numbers:
                headers, properties, body, _ = self._site.app.amqp.as_task_v2(f"t{number}", WORK)
                producer.publish(body, routing_key="celery", headers=headers, **properties)
        self.sent = numbers.stop


class Crew:
    """Workers, of which there are always as many."""

    def __init__(self, site: Site, rng: random.Random) -> None:
        self._site, self._rng = site, rng
        self._workers = [self._start() for _ in range(WORKERS)]
        self._orphans: set[int] = set()
        self.mains: set[int] = set()
        self.children: set[int] = set()

    def _start(self) -> Worker:
        arguments = ("--pool=prefork", f"--concurrency={CONCURRENCY}", "--loglevel=WARNING")
        return self._site.lone_worker(*arguments, ready=False)

    def kill_one(self, at_work: set[str]) -> None:
        """Kill any process of a worker that is at work; a worker without its main process is replaced."""
        living = [number for number, worker in enumerate(self._workers) if str(worker.pid) in at_work]
        if not living:
            return
        number = self._rng.choice(living)
        worker = self._workers[number]
        children = sorted(worker.children())
        victim = self._rng.choice([worker.pid, *children])
        (self.mains if victim == worker.pid else self.children).add(victim)
        os.kill(victim, signal.SIGKILL)
        if victim == worker.pid:
            worker.wait()
            self._orphans.update(children)
            self._workers[number] = self._start()

    @property
    def kills(self) -> int:
        return len(self.mains) + len(self.children)

    def log(self) -> str:
        return "\n".join(worker.log for worker in self._workers)

    def close(self) -> None:
        """End the children of the dead that are still there."""
        for worker in self._workers:
            worker.close()
        for pid in self._orphans:
            if _is_celery(pid):
                os.kill(pid, signal.SIGKILL)


def _is_celery(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - no path of ours
            return b"celery" in file.read()
    except OSError:
        return False


@pytest.mark.timeout(300)
@pytest.mark.scenario("killed workers")
def test_no_task_is_lost_and_only_what_a_killed_process_held_is_run_again(
    make_site: Callable[..., Site], rng: random.Random, scale: Scale, tally: Callable[..., None]
) -> None:
    options = {"claim_ttl": TTL}
    site = make_site(broker_transport_options=options, worker_prefetch_multiplier=MULTIPLIER)
    ledger = Ledger(site.journal.path)
    crew = Crew(site, rng)
    sender = Sender(site, ledger, scale)
    try:
        sender.start()
        eventually(lambda: ledger.read().ended)
        began = due = time.monotonic()
        while len(ledger.read().ended) < sender.sent or sender.is_alive():
            assert time.monotonic() < began + scale.sending + REST, f"{sender.sent - len(ledger.ended)} are not done"
            time.sleep(0.05)
            if due <= time.monotonic() < began + scale.killing:
                crew.kill_one(ledger.workers)
                due = time.monotonic() + scale.kills_every
        eventually(lambda: site.counts() == (0, 0), REST)
    finally:
        crew.close()
    charged, unaccounted = ledger.read().charge(crew.children, crew.mains)
    lost = sender.sent - len(ledger.ended)
    tally(tasks=sender.sent, kills=crew.kills, run_again=ledger.begun - len(ledger.runs), lost=lost)

    assert lost == 0
    assert crew.kills
    assert unaccounted == []
    assert max((count for pid, count in charged.items() if pid in crew.children), default=0) <= 1
    assert max((count for pid, count in charged.items() if pid in crew.mains), default=0) <= PREFETCH
