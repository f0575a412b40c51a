"""Rejected tasks: dead-lettering, listing and redriving."""

from __future__ import annotations

import pytest
from kombu import Queue

from tests.support.celery.application import DEAD, LIMITED
from tests.support.celery.site import Site
from tests.support.celery.worker import eventually


@pytest.fixture
def site(broker, tmp_path):
    """A site with a queue with a delivery limit, and its dead-letter queue."""
    site = Site(tmp_path, broker.url, **{LIMITED: 1})
    with site.app.connection() as connection:
        Queue(DEAD)(connection.default_channel).declare()
    yield site
    site.close()


@pytest.mark.parametrize(("requeue", "times", "reason"), [(False, 1, "rejected"), (True, 2, "delivery_limit")])
def test_a_task_that_is_rejected_dies_at_once_or_when_its_queue_has_had_enough_of_it(site, requeue, times, reason):
    worker = site.lone_worker("--pool=prefork", "--concurrency=1", f"--queues={LIMITED}")

    result = site.send("reject", "no such card", requeue, queue=LIMITED)

    eventually(lambda: site.counts(DEAD) == (1, 0))
    # A message is stored in the dead-letter queue before it is removed from its own queue.
    eventually(lambda: site.counts(LIMITED) == (0, 0))
    assert worker.log.count(f"{result.id}] received") == times
    with site.app.connection() as connection:
        dead_letter = connection.default_channel.basic_get(DEAD)
    assert dead_letter.headers["id"] == result.id
    assert dead_letter.headers["x-death"][0]["reason"] == reason


def test_a_task_that_is_given_back_runs_once_the_bug_is_mended(site):
    site.lone_worker("--pool=prefork", "--concurrency=1", f"--queues={LIMITED}")
    results = [site.send("reject_until", "mended", queue=LIMITED) for _ in range(3)]
    eventually(lambda: site.counts(DEAD) == (3, 0))
    assert "reject_until ('mended',) {}" in site.run("pool", "dead", DEAD)
    assert "REQUEUED" in site.run("pool", "redrive", DEAD, "--limit", "1")
    eventually(lambda: site.counts(DEAD) == (3, 0) and site.counts(LIMITED) == (0, 0))
    (site.folder / "mended").touch()

    printed = site.run("pool", "redrive", DEAD)

    assert [line.split("\t")[:3] for line in printed.splitlines()[1:]] == [[LIMITED, "3", "0"]]
    # Celery reports a rejected task as failed until it runs again.
    eventually(lambda: {site.app.AsyncResult(result.id).state for result in results} == {"SUCCESS"})
    answers = [site.answer(site.app.AsyncResult(result.id)) for result in results]
    # The retry went to the original queue, not to the dead-letter queue.
    assert sorted(answers) == [[[[LIMITED, "rejected", times]], False, LIMITED] for times in (1, 1, 2)]
    eventually(lambda: site.counts(DEAD) == site.counts(LIMITED) == (0, 0))
