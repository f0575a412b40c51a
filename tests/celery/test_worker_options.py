"""Options and settings of a worker."""

from __future__ import annotations

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from tests.support.celery.worker import eventually


def begun(site) -> set[str]:
    return {text.removeprefix("begin ") for text in site.journal.texts() if text.startswith("begin ")}


def test_a_prefetch_multiplier_of_one_holds_one_task_for_each_process(site):
    site.lone_worker("--pool=prefork", "--concurrency=2", worker_prefetch_multiplier=1, task_acks_late=True)
    results = [site.send("wait_late", str(number), "open") for number in range(5)]

    eventually(lambda: begun(site) == {"0", "1"})
    counts = site.counts()
    (site.folder / "open").touch()

    assert counts == (3, 2)
    assert [site.answer(result) for result in results] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("multiplier", [4, 0])
def test_without_prefetch_a_task_is_claimed_when_a_process_is_free(site, multiplier):
    worker = site.lone_worker(
        "--pool=prefork", "--concurrency=2", "--disable-prefetch", worker_prefetch_multiplier=multiplier
    )
    results = [site.send("wait_for", str(number), "open") for number in range(5)]

    eventually(lambda: begun(site) == {"0", "1"})
    free, _ = site.counts()
    (site.folder / "open").touch()

    assert free == 3
    assert "disable_prefetch" not in worker.log
    assert [site.answer(result) for result in results] == ["0", "1", "2", "3", "4"]


def test_a_process_is_replaced_after_its_last_task(site):
    site.lone_worker("--pool=prefork", "--concurrency=1", "--max-tasks-per-child=5")

    pids = [site.answer(result) for result in [site.send("process") for _ in range(20)]]

    assert sorted(pids.count(pid) for pid in set(pids)) == [5, 5, 5, 5]


def test_more_processes_come_with_more_work(site):
    worker = site.lone_worker("--pool=prefork", "--autoscale=3,1")
    results = [site.send("wait_for", str(number), "open") for number in range(3)]

    eventually(lambda: begun(site) == {"0", "1", "2"})
    (site.folder / "open").touch()

    assert [site.answer(result) for result in results] == ["0", "1", "2"]
    assert "Scaling up" in worker.log


def test_idle_processes_go(site, monkeypatch):
    # Time for all tasks to end before the pool shrinks. Where it shrinks in two steps, as on a busy machine, the second
    # may pick a process again that still ends, and one too many stays: billiard's shrink().
    monkeypatch.setenv("AUTOSCALE_KEEPALIVE", "4")
    worker = site.lone_worker("--pool=prefork", "--autoscale=3,1")
    results = [site.send("wait_for", str(number), "open") for number in range(3)]
    eventually(lambda: begun(site) == {"0", "1", "2"})
    (site.folder / "open").touch()

    eventually(lambda: len(worker.children()) < 3)

    assert [site.answer(result) for result in results] == ["0", "1", "2"]
    assert site.answer(site.send("add", 1, 1)) == 2


def test_short_tasks_are_not_stuck_behind_a_long_one(site):
    site.lone_worker("--pool=prefork", "--concurrency=2", "-Ofair")
    long = site.send("wait_for", "long", "open")

    short = [site.answer(site.send("add", number, number)) for number in range(10)]
    (site.folder / "open").touch()

    assert short == [2 * number for number in range(10)]
    assert site.answer(long) == "long"


def test_a_time_limit_ends_a_task(site):
    site.lone_worker("--pool=prefork", "--concurrency=1")

    result = site.send("wait_for", "never", "closed", time_limit=1)

    with pytest.raises(Exception, match="TimeLimitExceeded"):
        site.answer(result)
    eventually(lambda: site.counts() == (0, 0))


def test_a_soft_time_limit_lets_a_task_say_goodbye(site):
    site.lone_worker("--pool=prefork", "--concurrency=1")

    result = site.send("wait_late", "never", "closed", soft_time_limit=1, time_limit=50)

    with pytest.raises(SoftTimeLimitExceeded):
        site.answer(result)
    eventually(lambda: site.counts() == (0, 0))


def test_a_worker_takes_tasks_of_its_queues_only(site):
    site.lone_worker("--pool=solo", "--queues=mine,also-mine")
    for queue in ("mine", "theirs", "also-mine"):
        site.send("note", queue, queue=queue)

    eventually(lambda: len(site.journal.texts()) == 2)
    assert set(site.journal.texts()) == {"mine", "also-mine"}
    assert site.counts("theirs") == (1, 0)


def test_beat_sends_what_is_due(site):
    site.settings["beat_schedule"] = {"tick": {"task": "note", "schedule": 0.5, "args": ["tick"]}}
    site.lone_worker("--pool=solo")

    beat = site.start("beat", "--max-interval=1")

    eventually(lambda: site.journal.texts()[:3] == ["tick"] * 3)
    beat.stop()


def test_a_worker_beats_itself(site):
    site.settings["beat_schedule"] = {"tick": {"task": "note", "schedule": 0.5, "args": ["tick"]}}

    site.lone_worker("--pool=prefork", "--concurrency=1", "--beat")

    eventually(lambda: site.journal.texts()[:2] == ["tick"] * 2)


def test_results_in_a_database_work_beside_the_broker(site):
    site.app.conf.result_backend = site.settings["result_backend"] = f"db+sqlite:///{site.folder}/results.db"
    site.lone_worker("--pool=threads", "--concurrency=2")

    assert site.answer(site.send("add", 1, 2)) == 3
