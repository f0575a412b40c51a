"""A task stays claimed while its worker lives, and is released soon after the worker dies."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import pytest

from tests.support.celery.worker import eventually
from tests.support.limits import best_of, seconds_of

#: Claim TTL, in seconds; a delay of two thirds of it makes a renewal late.
TTL = 2.0
#: Seconds within which the tasks of a dead worker of this machine are run by another, on a busy machine.
AT_ONCE = 4.0


@pytest.fixture
def brief(site):
    """Settings of workers with a claim TTL of two seconds."""
    return {"broker_transport_options": {"claim_ttl": TTL}, "task_acks_late": True}


@pytest.mark.parametrize("pool", ["solo", "prefork"])
def test_a_task_of_three_claim_ttls_runs_once(site, brief, pool):
    first = site.lone_worker(f"--pool={pool}", "--concurrency=1", **brief)
    result = site.send("work_late", "long", 3.2 * TTL)
    eventually(lambda: site.journal.texts() == ["begin long"])
    second = site.lone_worker(f"--pool={pool}", "--concurrency=1", **brief)

    site.answer(result)
    eventually(lambda: site.counts() == (0, 0))

    assert site.answer(site.send("add", 1, 1)) == 2
    assert site.journal.texts() == ["begin long", "end long"]
    assert "received" not in second.log.partition("add")[0]
    assert first.lost_claims() == []


def test_what_a_busy_worker_has_prefetched_stays_its_own(site, brief):
    site.lone_worker("--pool=solo", **brief)
    site.send("work_late", "long", 2.5 * TTL)
    eventually(lambda: site.journal.texts() == ["begin long"])
    names = [f"behind {number}" for number in range(3)]
    results = [site.send("work_late", name, 0) for name in names]
    eventually(lambda: site.counts() == (0, 4))

    for result in results:
        site.answer(result)

    assert [site.journal.texts().count(f"begin {name}") for name in names] == [1, 1, 1]


def test_a_worker_that_keeps_its_etas_keeps_them_beyond_their_claims_ttl(site, brief):
    options = {"claim_ttl": TTL, "delay_eta": False}
    site.app.conf.broker_transport_options = options
    workers = [site.lone_worker("--pool=solo", **brief | {"broker_transport_options": options}) for _ in range(2)]

    result = site.send("note", "due", countdown=2.5 * TTL)
    eventually(lambda: any(site.inspect(*workers).scheduled().values()))

    assert site.counts() == (0, 1)
    site.answer(result)
    assert site.journal.texts() == ["due"]


def test_the_task_of_a_killed_worker_is_run_by_another_within_a_claim_ttl(site, brief):
    def takeover():
        name = f"released {time.monotonic_ns()}"
        first = site.lone_worker("--pool=prefork", "--concurrency=1", **brief)
        result = site.send("wait_late", name, name)
        eventually(lambda: site.journal.texts().count(f"begin {name}") == 1)
        second = site.lone_worker("--pool=prefork", "--concurrency=1", **brief)
        first.kill()
        seconds = seconds_of(lambda: eventually(lambda: site.journal.texts().count(f"begin {name}") == 2))
        (site.folder / name).touch()
        assert site.answer(result) == name
        eventually(lambda: site.counts() == (0, 0))
        second.stop()
        return seconds

    assert best_of(takeover, TTL + 2) < TTL + 2


def test_what_a_killed_worker_had_prefetched_is_run_by_another(site, brief):
    first = site.lone_worker("--pool=solo", **brief)
    site.send("wait_late", "first", "open")
    results = [site.send("note", f"note {number}") for number in range(3)]
    eventually(lambda: site.counts() == (0, 4))
    first.kill()
    (site.folder / "open").touch()

    site.lone_worker("--pool=solo", **brief)

    assert [site.answer(result) for result in results] == ["note 0", "note 1", "note 2"]


def test_the_task_of_a_killed_child_is_run_again(site):
    worker = site.lone_worker("--pool=prefork", "--concurrency=1")

    result = site.send("kill_once", "cat")

    assert site.answer(result) == "cat"
    first, second = site.journal.pids("begin cat")
    assert first != second
    assert "WorkerLostError" in worker.log
    eventually(lambda: site.counts() == (0, 0))


def test_a_stopped_worker_that_wakes_up_again_goes_on(site, brief):
    first = site.lone_worker("--pool=solo", **brief)
    site.send("wait_late", "sleeper", "open")
    eventually(lambda: site.journal.texts() == ["begin sleeper"])

    os.kill(first.pid, signal.SIGSTOP)
    site.lone_worker("--pool=solo", **brief)
    eventually(lambda: site.journal.texts() == ["begin sleeper"] * 2)
    os.kill(first.pid, signal.SIGCONT)
    (site.folder / "open").touch()

    eventually(lambda: site.journal.texts().count("end sleeper") == 2)
    # Only one of them may acknowledge it; the other logs the refusal.
    eventually(first.lost_claims)
    assert {site.answer(site.send("process")) for _ in range(20)} <= {first.pid, *site.pids()}
    eventually(lambda: site.counts() == (0, 0))


def test_a_killed_worker_is_replaced_by_one_of_its_name_at_once(site):
    killed = site.lone_worker("--pool=prefork", "--concurrency=1", name="pod-0")
    killed.kill()

    worker = site.lone_worker("--pool=prefork", "--concurrency=1", name="pod-0")

    assert site.answer(site.send("add", 1, 1)) == 2
    assert site.inspect(worker).ping() == {"pod-0@tests": {"ok": "pong"}}


@pytest.fixture
def lasting(site):
    """Settings of workers with claims that no test waits for."""
    return {"broker_transport_options": {"claim_ttl": 600}, "task_acks_late": True}


def test_the_tasks_of_a_killed_main_process_are_run_by_a_neighbour_at_once(site, lasting):
    first = site.lone_worker("--pool=prefork", "--concurrency=4", **lasting)
    names = [f"late {number}" for number in range(4)]
    results = [site.send("wait_late", name, "open") for name in names]
    eventually(lambda: sorted(site.journal.texts()) == [f"begin {name}" for name in names])
    children = first.children()
    second = site.lone_worker("--pool=prefork", "--concurrency=4", **lasting)

    os.kill(first.pid, signal.SIGKILL)
    seconds = seconds_of(lambda: eventually(lambda: len(site.journal.texts()) == 2 * len(names)))
    (site.folder / "open").touch()

    assert [site.answer(result) for result in results] == names
    eventually(lambda: site.counts() == (0, 0))
    assert seconds < AT_ONCE
    assert second.lost_claims() == []
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
