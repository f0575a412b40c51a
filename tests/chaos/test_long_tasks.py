"""Tasks that outlast the claims on them, and tasks for later, while workers come and go."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.celery.worker import eventually
from tests.support.chaos.task_outcomes import Ledger
from tests.support.chaos.tasks import WORK

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.support.celery.site import Site
    from tests.support.celery.worker import Worker
    from tests.support.chaos.scale import Scale

TTL, TTLS, LONG = 2.0, 5, 4
#: Seconds between one worker that leaves and the next.
TURN = 1.0
#: Seconds for which a worker that has forgotten a task waits for it, with all that it still holds: 30 in billiard.
WAIT = 45


@pytest.mark.timeout(240)
@pytest.mark.scenario("long tasks, etas")
def test_each_is_run_once_though_workers_come_and_go(
    make_site: Callable[..., Site], rng: random.Random, scale: Scale, tally: Callable[..., None]
) -> None:
    site = make_site(broker_transport_options={"claim_ttl": TTL}, worker_prefetch_multiplier=2)
    ledger = Ledger(site.journal.path)

    def start() -> Worker:
        return site.lone_worker("--pool=prefork", "--concurrency=3")

    workers, left = [start(), start()], []
    with site.app.producer_pool.acquire(block=True) as producer:
        for number in range(LONG):
            site.app.send_task(WORK, (TTLS * TTL,), task_id=f"long-{number}", producer=producer)
        for number in range(scale.etas):
            later = rng.uniform(0, TTLS * TTL)
            site.app.send_task(WORK, task_id=f"eta-{number}", countdown=later, producer=producer)
    until = time.monotonic() + 120
    while len(ledger.read().ended) < LONG + scale.etas:
        assert time.monotonic() < until, f"only {len(ledger.ended)} are done"
        time.sleep(TURN)
        workers.append(start())
        left.append(workers.pop(0))
        left[-1].signal(signal.SIGTERM)
    exits = [worker.wait(WAIT) for worker in left]
    eventually(lambda: site.counts() == (0, 0))
    ledger.read()
    run_again = len(ledger.repeated())
    doubled = ledger.doubled()
    tally(
        long=LONG,
        etas=scale.etas,
        workers=len(workers) + len(left),
        run_again=len(doubled),
        run_again_after_Celery_forgot=run_again - len(doubled),
    )

    assert doubled == {}
    assert set(ledger.ended) == set(ledger.runs)
    assert set(exits) <= {0}
