"""A task that says that it cannot be done goes where its queue's dead letters go."""

from __future__ import annotations

import pytest
from kombu import Queue

from tests.support.celery.application import DEAD, MORTAL
from tests.support.celery.site import Site
from tests.support.celery.worker import eventually


@pytest.fixture
def site(broker, tmp_path):
    """A site with a queue whose messages may die, and one for the dead."""
    site = Site(tmp_path, broker.url, **{MORTAL: 1})
    with site.app.connection() as connection:
        Queue(DEAD)(connection.default_channel).declare()
    yield site
    site.close()


@pytest.mark.parametrize(("requeue", "times", "reason"), [(False, 1, "rejected"), (True, 2, "delivery_limit")])
def test_a_task_that_is_rejected_dies_at_once_or_when_its_queue_has_had_enough_of_it(site, requeue, times, reason):
    worker = site.lone_worker("--pool=prefork", "--concurrency=1", f"--queues={MORTAL}")

    result = site.send("refuse", "no such card", requeue, queue=MORTAL)

    eventually(lambda: site.counts(DEAD) == (1, 0))
    # A letter is in the queue of the dead before it leaves its own.
    eventually(lambda: site.counts(MORTAL) == (0, 0))
    assert worker.log.count(f"{result.id}] received") == times
    with site.app.connection() as connection:
        letter = connection.default_channel.basic_get(DEAD)
    assert letter.headers["id"] == result.id
    assert letter.headers["x-death"][0]["reason"] == reason


def test_a_task_that_is_given_back_runs_once_the_bug_is_mended(site):
    site.lone_worker("--pool=prefork", "--concurrency=1", f"--queues={MORTAL}")
    results = [site.send("refuse_until", "mended", queue=MORTAL) for _ in range(3)]
    eventually(lambda: site.counts(DEAD) == (3, 0))
    assert "refuse_until ('mended',) {}" in site.run("pool", "dead", DEAD)
    assert "GIVEN BACK" in site.run("pool", "redrive", DEAD, "--limit", "1")
    eventually(lambda: site.counts(DEAD) == (3, 0) and site.counts(MORTAL) == (0, 0))
    (site.folder / "mended").touch()

    printed = site.run("pool", "redrive", DEAD)

    assert [line.split("\t")[:3] for line in printed.splitlines()[1:]] == [[MORTAL, "3", "0"]]
    # Celery counts a rejected task as failed until it runs again.
    eventually(lambda: {site.app.AsyncResult(result.id).state for result in results} == {"SUCCESS"})
    answers = [site.answer(site.app.AsyncResult(result.id)) for result in results]
    # Tried again it went to the queue that it came from, and not to the dead.
    assert sorted(answers) == [[[[MORTAL, "rejected", times]], False, MORTAL] for times in (1, 1, 2)]
    eventually(lambda: site.counts(DEAD) == site.counts(MORTAL) == (0, 0))
