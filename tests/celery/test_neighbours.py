"""Several workers on one broker: mingle, gossip, shared work and broadcasts."""

from __future__ import annotations

import pytest

from tests.support.celery.worker import eventually
from tests.support.limits import LIMIT

#: Settings with which a worker soon notices that another one is gone.
BRIEF = {"event_queue_expires": 1, "control_queue_expires": 1, "broker_transport_options": {"claim_ttl": 2.0}}


def test_a_new_worker_learns_what_the_others_know(site):
    first = site.worker("--pool=solo")
    revoked = site.send("note", "revoked", countdown=60)
    site.app.control.revoke(revoked.id, destination=[first.name], reply=True)
    assert "mingle: all alone" in first.log

    second = site.worker("--pool=solo")

    assert "mingle: sync with 1 nodes" in second.log
    assert "mingle: sync complete" in second.log
    assert site.inspect(second).revoked() == {second.name: [revoked.id]}


def test_a_worker_notices_that_a_neighbour_came_and_went(site):
    first = site.worker("--pool=solo", "--loglevel=debug")
    second = site.worker("--pool=solo", name="neighbour")
    first.wait_for_log("sync with neighbour@tests")

    second.stop()

    first.wait_for_log("neighbour@tests left")


def test_a_worker_notices_that_a_neighbour_was_killed(site):
    first = site.worker("--pool=solo", **BRIEF)
    second = site.worker("--pool=solo", "--heartbeat-interval=1", name="neighbour", **BRIEF)
    first.wait_for_log("sync with neighbour@tests")

    second.kill()

    first.wait_for_log("missed heartbeat from neighbour@tests")


def test_two_workers_share_the_work_and_double_none(site):
    workers = [site.worker("--pool=threads", "--concurrency=2", worker_prefetch_multiplier=1) for _ in range(2)]

    results = [site.send("work", str(number), 0.01) for number in range(100)]
    for result in results:
        site.answer(result)

    assert sorted(site.journal.texts()) == sorted(
        f"{event} {number}" for number in range(100) for event in ("begin", "end")
    )
    assert {entry.pid for entry in site.journal.entries()} == {worker.pid for worker in workers}


def test_every_worker_answers_a_broadcast(site):
    workers = [site.lone_worker("--pool=solo") for _ in range(3)]

    answers = site.app.control.ping(timeout=LIMIT, limit=3)

    assert {name for answer in answers for name in answer} == {worker.name for worker in workers}


@pytest.mark.parametrize("pool", ["solo", "prefork"])
def test_a_broadcast_task_runs_in_every_worker(site, pool):
    site.add_broadcast_queue()
    for _ in range(2):
        site.lone_worker(f"--pool={pool}", "--concurrency=1")

    site.send("note", "to all", queue="broadcast", exchange="broadcast", routing_key="")

    eventually(lambda: site.journal.texts() == ["to all"] * 2)
    assert len(set(site.journal.pids("to all"))) == 2
