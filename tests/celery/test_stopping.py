"""A stopping worker releases the messages that it has not begun, and loses none."""

from __future__ import annotations

import signal

import celery
import pytest

from tests.support.celery.worker import eventually
from tests.support.limits import best_of, seconds_of

frees_late_tasks = pytest.mark.skipif(
    celery.VERSION[:2] < (5, 5), reason="this Celery acknowledges the task of a child that it terminates"
)


def hold(site, *arguments, **settings):
    """Start a worker with one running and three prefetched tasks; return it with the results of all four."""
    worker = site.lone_worker("--concurrency=1", *arguments, **settings)
    results = [site.send("wait_late", "held", "open")]
    eventually(lambda: site.journal.texts() == ["begin held"])
    results += [site.send("work_late", f"behind {number}", 0) for number in range(3)]
    eventually(lambda: site.counts() == (0, 4))
    return worker, results


def begun(site) -> list[str]:
    return sorted(text.removeprefix("begin ") for text in site.journal.texts() if text.startswith("begin "))


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_warm_shutdown_loses_and_doubles_nothing(site, pool):
    worker, results = hold(site, f"--pool={pool}")

    worker.signal(signal.SIGTERM)
    if pool != "solo":
        # A solo worker handles the signal after its task.
        worker.wait_for_log("Warm shutdown")
    (site.folder / "open").touch()
    assert worker.wait() == 0
    free, claimed = site.counts()
    site.lone_worker("--pool=solo")

    assert claimed == 0
    assert [site.answer(result) for result in results] == ["held", "behind 0", "behind 1", "behind 2"]
    assert begun(site) == ["behind 0", "behind 1", "behind 2", "held"]
    assert worker.log.count("succeeded") == 4 - free
    eventually(lambda: site.counts() == (0, 0))


@frees_late_tasks
def test_a_cold_shutdown_frees_everything_at_once(site):
    worker, results = hold(site, "--pool=prefork")

    worker.signal(signal.SIGQUIT)
    worker.wait()

    assert site.counts() == (4, 0)
    (site.folder / "open").touch()
    site.lone_worker("--pool=solo")
    assert [site.answer(result) for result in results] == ["held", "behind 0", "behind 1", "behind 2"]
    assert begun(site) == ["behind 0", "behind 1", "behind 2", "held", "held"]


@frees_late_tasks
def test_a_soft_shutdown_waits_for_its_time_and_then_frees_everything(site):
    worker, results = hold(site, "--pool=prefork", worker_soft_shutdown_timeout=0.5)

    worker.signal(signal.SIGQUIT)
    worker.wait()

    assert site.counts() == (4, 0)
    (site.folder / "open").touch()
    site.lone_worker("--pool=solo")
    assert [site.answer(result) for result in results] == ["held", "behind 0", "behind 1", "behind 2"]


@frees_late_tasks
def test_what_is_given_back_keeps_its_place(site):
    worker, _ = hold(site, "--pool=prefork")
    site.send("work_late", "last", 0)
    worker.signal(signal.SIGQUIT)
    worker.wait()
    (site.folder / "open").touch()

    result = site.send("work_late", "very last", 0)
    site.lone_worker("--pool=solo")
    site.answer(result)

    assert [text for text in site.journal.texts() if text.startswith("begin")][1:] == [
        "begin held",
        "begin behind 0",
        "begin behind 1",
        "begin behind 2",
        "begin last",
        "begin very last",
    ]


def test_an_idle_worker_stops_soon(site):
    # A thread that does not end would be joined for 5 s.
    assert best_of(lambda: seconds_of(site.lone_worker("--pool=threads").stop), 4.9) < 4.9
