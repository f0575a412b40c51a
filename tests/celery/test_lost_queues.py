"""A worker whose queues are gone, for whatever reason, declares them again and goes on."""

from __future__ import annotations

import os
import signal
import time

import pytest

from kombu_pool.errors import ConnectionError  # noqa: A004 - Zaqar's name for it
from tests.support.celery.worker import eventually
from tests.support.limits import LIMIT

CLAIM_TTL = 4.0


def runs_on(site, worker):
    """Return whether the same worker runs tasks and answers remote control."""
    result = site.send("add", 1, 1)
    assert site.answer(result) == 2
    eventually(lambda: answering(site) == {worker.name})
    assert worker.runs
    assert "Unrecoverable" not in worker.log
    return True


def answering(site):
    """Return the names of the workers that answer within a second."""
    return set(site.app.control.inspect(timeout=1).ping() or ())


def delete_queue(site, name):
    with site.app.connection_for_write() as connection:
        connection.default_channel.queue_delete(name)


@pytest.mark.parametrize("pool", ["prefork", "solo", "threads"])
def test_a_worker_outlives_the_loss_of_all_that_the_store_held(site, broker, pool):
    worker = site.worker(f"--pool={pool}", "--concurrency=2")
    assert runs_on(site, worker)

    broker.lose_data()

    # The first may be sent to a queue that only the worker, which has not noticed yet, would declare.
    assert runs_on(site, worker)
    eventually(lambda: worker.log.count("ready.") == 1)


def test_a_worker_outlives_the_deletion_of_its_queue_and_the_producer_is_not_deceived(site):
    worker = site.lone_worker("--pool=prefork", "--concurrency=2")
    assert site.answer(site.send("add", 1, 1)) == 2

    for _ in range(3):
        delete_queue(site, "celery")
        # The same connections as before: they have declared the queue already.
        results = [site.send("add", number, 1) for number in range(5)]

        assert [site.answer(result) for result in results] == [1, 2, 3, 4, 5]

    assert worker.runs
    eventually(lambda: site.counts() == (0, 0))


def test_a_busy_worker_finishes_what_it_has_in_hand(site):
    site.lone_worker("--pool=prefork", "--concurrency=2", task_acks_late=True)
    waiting = site.send("wait_late", "busy", "open")
    eventually(lambda: site.journal.texts() == ["begin busy"])

    delete_queue(site, "celery")
    answered = site.answer(site.send("add", 1, 1))
    (site.folder / "open").touch()
    site.answer(waiting)

    assert answered == 2
    assert site.journal.texts() == ["begin busy", "end busy"]


def stop_outside_of_a_transaction(site, broker, worker):
    """Stop a worker with SIGSTOP while it does not hold the lock of a SQLite file."""
    while True:
        os.kill(worker.pid, signal.SIGSTOP)
        try:
            with site.store(broker.short_timeout_url) as store:
                store.control.consumers_controller.touch("any")
        except ConnectionError:
            os.kill(worker.pid, signal.SIGCONT)
        else:
            return


def test_remote_control_reaches_a_worker_that_was_stopped_for_longer_than_its_claims(site, broker):
    options = {"broker_transport_options": {"claim_ttl": CLAIM_TTL}}
    stopped = site.worker("--pool=solo", **options)
    other = site.worker("--pool=solo", **options)
    # The first try may stop it for long, and its last renewal may be older than that.
    began = time.monotonic()
    stop_outside_of_a_transaction(site, broker, stopped)
    # Another worker deletes the mailbox of the one that seems to be dead.
    eventually(lambda: len([name for name in site.queues() if name.endswith(".pidbox")]) == 1, within=LIMIT)
    assert time.monotonic() - began >= CLAIM_TTL / 4

    os.kill(stopped.pid, signal.SIGCONT)

    eventually(lambda: answering(site) == {stopped.name, other.name})
    assert stopped.runs
