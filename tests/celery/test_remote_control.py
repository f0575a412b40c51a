"""``inspect`` and ``control``."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone

import pytest

from tests.support.celery.worker import eventually
from tests.support.limits import best_of, seconds_of


@pytest.fixture(scope="module")
def worker(shared_site):
    """One worker with two processes for all tests of this module."""
    worker = shared_site.lone_worker("--pool=prefork", "--concurrency=2")
    yield worker
    worker.stop()


@pytest.fixture
def site(worker, shared_site):
    return shared_site


@pytest.fixture
def ask(site, worker):
    """Return a function that calls an ``inspect`` method of the worker."""

    def ask(question: str, *arguments: object):
        (answer,) = getattr(site.inspect(worker), question)(*arguments).values()
        return answer

    return ask


class Gate:
    """Tasks that run until :meth:`open`."""

    def __init__(self, site, number: int) -> None:
        self.site = site
        self.names = [f"{time.monotonic_ns()}-{name}" for name in range(number)]
        self.file = f"{self.names[0]}-open"
        self.results = [site.send("wait_for", name, self.file) for name in self.names]
        self.ids = [result.id for result in self.results]
        eventually(lambda: {f"begin {name}" for name in self.names} <= set(site.journal.texts()))

    def open(self) -> None:
        (self.site.folder / self.file).touch()
        for result in self.results:
            self.site.answer(result)


@pytest.fixture
def busy(site):
    """Tasks that keep both processes of the worker busy."""
    gate = Gate(site, 2)
    yield gate
    gate.open()


def test_it_answers_a_ping(ask):
    assert ask("ping") == {"ok": "pong"}


def test_everybody_is_asked_when_nobody_is_named(site, worker):
    eventually(lambda: site.app.control.ping(timeout=1.0) == [{worker.name: {"ok": "pong"}}])


def test_it_names_what_it_runs(ask, busy):
    assert sorted(task["id"] for task in ask("active")) == sorted(busy.ids)


def test_it_names_what_it_has_prefetched(site, ask, busy):
    waiting = [site.send("add", 1, 1) for _ in range(3)]

    eventually(lambda: sorted(task["id"] for task in ask("reserved")) == sorted(result.id for result in waiting))


def test_it_names_the_tasks_that_wait_in_the_store(site, worker, ask):
    due = [datetime.now(timezone.utc) + timedelta(hours=hours) for hours in (2, 1)]
    later, sooner = (site.send("add", 1, 2, eta=eta) for eta in due)
    eventually(lambda: len(ask("scheduled")) == 2)

    scheduled = ask("scheduled")
    site.app.control.purge()

    assert [task["request"]["id"] for task in scheduled] == [sooner.id, later.id]
    assert scheduled[1] == {
        "eta": due[0].isoformat(),
        "priority": 6,
        "request": {
            "id": later.id,
            "name": "add",
            "args": [1, 2],
            "kwargs": {},
            "type": "add",
            "hostname": worker.name,
            "time_start": None,
            "acknowledged": False,
            "delivery_info": {"exchange": "", "routing_key": "celery", "priority": 0, "redelivered": False},
            "worker_pid": None,
        },
    }


def test_it_names_a_task_that_it_does_not_know_and_one_that_it_must_not_decode(site, ask):
    eta = datetime.now(timezone.utc) + timedelta(hours=1)
    known = site.send("add", 1, 2, eta=eta, serializer="pickle")
    site.app.send_task("unknown", (3,), eta=eta)
    eventually(lambda: len(ask("scheduled")) == 2)

    requests = {task["request"]["name"]: task["request"] for task in ask("scheduled")}
    site.app.control.purge()

    assert requests["unknown"]["args"] == [3]
    assert (requests["add"]["id"], requests["add"]["args"]) == (known.id, "(1, 2)")


def test_it_holds_no_more_than_its_prefetch_limit(site, ask, busy):
    waiting = [site.send("add", 1, 1) for _ in range(20)]

    eventually(lambda: len(ask("reserved")) == 8)
    counts = site.counts()
    busy.open()

    # The running tasks are acknowledged already.
    assert counts == (12, 8)
    assert [site.answer(result) for result in waiting] == [2] * 20


def test_its_statistics_name_the_broker(ask):
    stats = ask("stats")

    assert stats["broker"]["transport"].startswith("pool")
    assert stats["prefetch_count"] == 8
    assert len(stats["pool"]["processes"]) == 2
    json.dumps(stats)


def test_it_names_the_tasks_that_it_knows(ask):
    assert {"add", "note", "third_time"} <= set(ask("registered"))


def test_it_names_the_queues_that_it_consumes_from(ask):
    assert [queue["name"] for queue in ask("active_queues")] == ["celery"]


def test_it_shows_its_configuration(ask):
    assert ask("conf")["result_chord_retry_interval"] == 0.1


def test_it_finds_a_task_by_its_id(ask, busy):
    assert ask("query_task", busy.ids[:1])[busy.ids[0]][0] == "active"


def test_it_answers_while_all_its_processes_are_busy(ask, busy):
    assert best_of(lambda: seconds_of(lambda: ask("ping")), 5) < 5


def test_a_revoked_task_is_not_run(site, worker, ask, busy):
    result = site.send("note", "revoked")
    site.app.control.revoke(result.id, destination=[worker.name], reply=True)

    busy.open()

    eventually(lambda: result.state == "REVOKED")
    assert "revoked" not in site.journal.texts()


def test_a_delayed_task_can_be_revoked(site, worker):
    result = site.send("note", "revoked in time", countdown=0.7)
    site.app.control.revoke(result.id, destination=[worker.name], reply=True)

    eventually(lambda: result.state == "REVOKED")
    assert "revoked in time" not in site.journal.texts()


def test_a_running_task_can_be_terminated(site, worker, ask):
    gate = Gate(site, 1)

    site.app.control.revoke(gate.ids[0], terminate=True, signal="SIGKILL", destination=[worker.name], reply=True)

    eventually(lambda: gate.results[0].state == "REVOKED")
    eventually(lambda: site.counts() == (0, 0))
    assert ask("active") == []
    assert site.journal.texts().count(f"begin {gate.names[0]}") == 1


def test_it_consumes_from_a_queue_when_told_to_and_until_told_to_stop(site, worker, ask):
    site.app.control.add_consumer("reports", destination=[worker.name], reply=True)
    assert site.answer(site.send("add", 1, 2, queue="reports")) == 3
    assert sorted(queue["name"] for queue in ask("active_queues")) == ["celery", "reports"]

    site.app.control.cancel_consumer("reports", destination=[worker.name], reply=True)
    result = site.send("add", 1, 2, queue="reports")
    site.answer(site.send("add", 1, 2))

    assert [queue["name"] for queue in ask("active_queues")] == ["celery"]
    assert site.counts("reports") == (1, 0)
    assert result.state == "PENDING"


def test_its_pool_grows_and_shrinks_when_told_to(site, worker, ask):
    site.app.control.pool_grow(1, destination=[worker.name], reply=True)
    eventually(lambda: len(ask("stats")["pool"]["processes"]) == 3)

    site.app.control.pool_shrink(1, destination=[worker.name], reply=True)

    eventually(lambda: len(ask("stats")["pool"]["processes"]) == 2)
    assert site.answer(site.send("add", 1, 2)) == 3


def test_a_rate_limit_is_kept(site, worker):
    site.app.control.rate_limit("when", "5/s", destination=[worker.name], reply=True)

    times = sorted(site.answer(result) for result in [site.send("when") for _ in range(6)])
    site.app.control.rate_limit("when", "0", destination=[worker.name], reply=True)

    assert times[-1] - times[0] > 0.7


def test_nothing_is_said_of_replies_whose_queue_is_gone(site, ask, caplog):
    for _ in range(5):
        ask("ping")

    assert caplog.messages == []


def test_it_shuts_down_when_told_to(site):
    other = site.lone_worker("--pool=solo", "--queues=other")

    site.app.control.shutdown(destination=[other.name])

    assert other.wait() == 0
