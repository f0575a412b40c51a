"""A task that says that it cannot be done goes where its queue's dead letters go."""

from __future__ import annotations

import pytest
from kombu import Queue

from tests.celery.application import DEAD, MORTAL
from tests.celery.site import Site
from tests.celery.worker import eventually


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
    assert site.counts(MORTAL) == (0, 0)
    assert worker.log.count(f"{result.id}] received") == times
    with site.app.connection() as connection:
        letter = connection.default_channel.basic_get(DEAD)
    assert letter.headers["id"] == result.id
    assert letter.headers["x-death"][0]["reason"] == reason
