"""Tasks with an ETA stay in the store until they are due."""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta, timezone

import kombu_pool
from tests.support.celery.worker import eventually
from tests.support.limits import best_of

#: Most seconds between the ETA and the run of a task on an idle queue.
MAX_LATENESS = 0.2
NUMBER = 15


def lateness(site, seconds: float) -> list[float]:
    """Send tasks that are due within so many seconds; return how long after its ETA each ran."""
    now = datetime.now(timezone.utc)
    due = [now + timedelta(seconds=seconds * number / NUMBER) for number in range(5, NUMBER + 5)]
    random.shuffle(due)
    results = [site.send("when", eta=eta) for eta in due]
    return [site.answer(result) - eta.timestamp() for result, eta in zip(results, due, strict=True)]


def test_tasks_come_within_200_ms_of_their_eta_and_no_worker_keeps_them_until_then(site):
    worker = site.lone_worker("--pool=threads", "--concurrency=4")
    hidden = [site.send("note", "far away", countdown=3600) for _ in range(3)]
    eventually(lambda: site.counts() == (len(hidden), 0))

    def slowness():
        late = sorted(lateness(site, 3))
        assert late[0] >= 0
        # A busy machine may delay some of them.
        return max(late[2 * NUMBER // 3], late[-1] / 10)

    assert best_of(slowness, MAX_LATENESS) < MAX_LATENESS
    inspected = site.inspect(worker)
    ids = {result.id for result in hidden}
    eventually(lambda: {task["request"]["id"] for task in inspected.scheduled()[worker.name]} == ids)
    assert inspected.reserved() == {worker.name: []}
    assert site.counts() == (len(hidden), 0)


def test_a_task_that_is_rescheduled_to_an_earlier_time_runs_then(site):
    site.lone_worker("--pool=threads", "--concurrency=4")
    at_once, soon, later = (site.send("when", countdown=3600) for _ in range(3))
    eventually(lambda: site.counts() == (3, 0))
    tasks, due = kombu_pool.tasks(site.app), time.time() + 1

    tasks.change(at_once.id, due=0)
    tasks.change(soon.id, due=due)

    assert site.answer(at_once)
    assert site.answer(soon) >= due - 0.1
    eventually(lambda: site.counts() == (1, 0))
    tasks.cancel(later.id)
