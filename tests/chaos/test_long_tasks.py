"""Tasks longer than a claim TTL and tasks with an ETA, while workers start and stop."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

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

TTL, TTLS, LONG = 2.0, 5, 4
#: Seconds between two replacements of a worker.
INTERVAL = 1.0
#: Timeout of a worker's end, in seconds: billiard waits 30 s for a task that was dropped.
END_TIMEOUT = LIMIT


@pytest.mark.timeout(LONG_TEST)
@pytest.mark.scenario("long tasks, etas")
def test_each_is_run_once_though_workers_come_and_go(
    make_site: Callable[..., Site], rng: random.Random, scale: Scale, tally: Callable[..., None]
) -> None:
    site = make_site(broker_transport_options={"claim_ttl": TTL}, worker_prefetch_multiplier=2)
    outcomes = TaskOutcomes(site.journal.path)

    def start() -> Worker:
        return site.lone_worker("--pool=prefork", "--concurrency=3")

    workers, left = [start(), start()], []
    with site.app.producer_pool.acquire(block=True) as producer:
        for number in range(LONG):
            site.app.send_task(WORK, (TTLS * TTL,), task_id=f"long-{number}", producer=producer)
        for number in range(scale.etas):
            later = rng.uniform(0, TTLS * TTL)
            site.app.send_task(WORK, task_id=f"eta-{number}", countdown=later, producer=producer)
    until = time.monotonic() + 3 * LIMIT
    while len(outcomes.read().ended) < LONG + scale.etas:
        assert time.monotonic() < until, f"only {len(outcomes.ended)} are done"
        time.sleep(INTERVAL)
        workers.append(start())
        left.append(workers.pop(0))
        left[-1].signal(signal.SIGTERM)
    exits = [worker.wait(END_TIMEOUT) for worker in left]
    eventually(lambda: site.counts() == (0, 0))
    outcomes.read()
    run_again = len(outcomes.repeated())
    duplicated = outcomes.duplicated()
    tally(
        long=LONG,
        etas=scale.etas,
        workers=len(workers) + len(left),
        run_again=len(duplicated),
        run_again_after_Celery_dropped=run_again - len(duplicated),
    )

    assert duplicated == {}
    assert set(outcomes.ended) == set(outcomes.runs)
    assert set(exits) <= {0}
