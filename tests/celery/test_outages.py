"""A worker survives an outage of its store, and continues afterwards."""

from __future__ import annotations

import time

import pytest
from kombu.exceptions import OperationalError

from tests.support.celery.brokers import SqliteBroker
from tests.support.celery.site import Site
from tests.support.celery.worker import eventually
from tests.support.limits import best_of, seconds_of

#: Longer than the timeout of a connection, so that calls fail, in seconds.
OUTAGE = 3.0
#: Most seconds until sending a task fails, with three retries.
SEND_TIMEOUT = 30.0


@pytest.fixture
def site(broker, tmp_path):
    """A site whose connections have short timeouts."""
    site = Site(tmp_path, broker.short_timeout_url)
    yield site
    site.close()


@pytest.mark.parametrize("pool", ["prefork", "solo", "threads", "gevent"])
def test_no_task_is_lost_or_doubled(site, broker, pool):
    worker = site.worker(f"--pool={pool}", "--concurrency=2", worker_prefetch_multiplier=4)
    results = [site.send("work", str(number), 0.05) for number in range(40)]
    eventually(lambda: len(site.journal.texts()) > 10)

    with broker.outage():
        begun = time.monotonic()
        eventually(lambda: time.monotonic() - begun > OUTAGE)
    for result in results:
        site.answer(result)

    assert sorted(site.journal.texts()) == sorted(
        f"{event} {number}" for number in range(40) for event in ("begin", "end")
    )
    assert site.answer(site.send("add", 1, 1)) == 2
    eventually(lambda: site.counts() == (0, 0))
    assert site.inspect(worker).ping() == {worker.name: {"ok": "pong"}}
    assert "Unrecoverable" not in worker.log


def test_a_late_task_that_is_cancelled_as_the_connection_is_lost_is_run_again(site, broker):
    if isinstance(broker, SqliteBroker):
        pytest.skip("a locked file ends no connection")
    worker = site.lone_worker(
        "--pool=prefork",
        "--concurrency=2",
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_prefetch_multiplier=4,
    )
    late = site.send("wait_late", "late", "open")
    others = [site.send("work", str(number), 0.05) for number in range(40)]
    eventually(lambda: len(site.journal.texts()) > 10)

    with broker.outage():
        worker.wait_for_log("Connection to broker lost")
    eventually(lambda: site.journal.texts().count("begin late") == 2)
    (site.folder / "open").touch()

    assert site.answer(late) == "late"
    assert [site.answer(result) for result in others] == [str(number) for number in range(40)]
    assert site.journal.texts().count("end late") == 1
    eventually(lambda: site.counts() == (0, 0))


def test_a_send_meanwhile_fails(site, broker):
    site.lone_worker("--pool=solo")
    site.answer(site.send("add", 1, 1))

    with broker.outage(), pytest.raises(OperationalError, match=broker.outage_error):
        site.send("add", 2, 2, retry=False)
    result = site.send("add", 3, 3)

    assert site.answer(result) == 6


def test_a_send_that_celery_retries_fails_in_the_end(site, broker):
    site.send("note", "before")

    def send():
        with broker.outage(), pytest.raises(OperationalError):
            site.app.tasks["note"].delay("meanwhile")

    assert best_of(lambda: seconds_of(send), SEND_TIMEOUT) < SEND_TIMEOUT


def test_a_worker_that_starts_meanwhile_waits(site, broker):
    site.send("note", "before")

    with broker.outage():
        worker = site.lone_worker("--pool=solo", ready=False)
        worker.wait_for_log("Trying again in")

    worker.ready()
    eventually(lambda: site.journal.texts() == ["before"])
