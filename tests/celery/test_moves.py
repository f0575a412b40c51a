"""Queues that move to another pool under a worker that runs their tasks."""

from __future__ import annotations

import random
import re
import signal
import time

import pytest
from celery import chord

from kombu_pool.moves import MOVED
from tests.support.celery.site import Site
from tests.support.celery.worker import eventually
from tests.support.servers.redis_shared import fresh_uri

#: Tasks that wait in a queue when its move begins.
WAITING = 300


@pytest.fixture
def site(tmp_path):
    """A site with the pool ``old`` in a file, and the pool ``new`` in a Redis, which takes no new queues yet."""
    site = Site(tmp_path, f"pool+sqlite:///{tmp_path}/control.db", task_create_missing_queues=True)
    site.run("pool", "add", "old", f"sqlite:///{tmp_path}/old.db")
    yield site
    site.close()


def add_new(site):
    site.run("pool", "add", "new", fresh_uri())


def send(site, texts, queue="celery"):
    for text in texts:
        site.send("note_unanswered", text, queue=queue)


def pool_of(site, queue="celery"):
    with site.store() as store:
        return store.catalog.pool_of(queue)


def test_a_queue_moves_under_a_worker_that_runs_its_tasks_and_a_chord(site):
    worker = site.lone_worker("--pool=threads", "--concurrency=4")
    add_new(site)
    send(site, [f"before {number}" for number in range(WAITING)])
    result = chord([site.signature("add", number, 1) for number in range(20)])(site.signature("total"))

    printed = site.run("pool", "move", "celery", "new")
    send(site, [f"after {number}" for number in range(20)])

    assert "Moved celery from old to new" in printed
    assert site.answer(result) == sum(range(20)) + 20
    texts = [f"before {number}" for number in range(WAITING)] + [f"after {number}" for number in range(20)]
    eventually(lambda: len(site.journal.texts()) >= len(texts))
    assert sorted(site.journal.texts()) == sorted(texts)
    assert pool_of(site) == "new"
    worker.stop()
    assert "Traceback" not in worker.log


def test_the_queue_of_a_long_task_is_moved_once_the_task_is_done(site):
    site.lone_worker("--pool=threads", "--concurrency=2")
    add_new(site)
    result = site.send("wait_late", "long", "go")
    eventually(lambda: "begin long" in site.journal.texts())
    mover = site.start("pool", "move", "celery", "new")
    eventually(lambda: "held by workers" in mover.log)
    short = site.send("add", 1, 2)

    assert site.answer(short) == 3  # It is served from the new pool, as the old one has no free task.

    (site.folder / "go").touch()
    assert site.answer(result) == "long"
    assert mover.wait() == 0
    assert "Moved celery from old to new" in mover.log


def test_a_pool_with_several_queues_is_drained_and_removed_under_a_worker(site):
    queues = [f"q{number}" for number in range(4)]
    site.lone_worker("--pool=threads", "--concurrency=4", "-Q", ",".join(queues))
    add_new(site)
    texts = [f"{queue} {number}" for queue in queues for number in range(50)]
    for queue in queues:
        send(site, [text for text in texts if text.startswith(f"{queue} ")], queue)

    printed = site.run("pool", "drain", "old", "--parallel", "3", "--remove")
    send(site, ["last"], "q0")

    assert "Removed old." in printed
    eventually(lambda: "last" in site.journal.texts() and len(site.journal.texts()) > len(texts))
    assert sorted(site.journal.texts()) == sorted([*texts, "last"])
    assert {pool_of(site, queue) for queue in queues} == {"new"}


def test_the_pool_of_a_worker_whose_store_is_lost_is_removed_by_force(site):
    site.lone_worker("--pool=solo", "-Q", "celery")
    assert site.answer(site.send("add", 1, 1)) == 2
    add_new(site)
    for file in site.folder.glob("old.db*"):
        file.unlink()

    printed = site.run("pool", "rm", "old", "--force", "--yes")

    assert re.search(r"celery\W+new", printed)
    assert site.answer(site.send("add", 2, 3)) == 5
    assert pool_of(site) == "new"


@pytest.mark.parametrize("seed", range(3))
def test_a_move_that_is_killed_at_some_moment_is_finished_by_a_worker(site, seed):
    texts = [f"{number}" for number in range(3 * WAITING)]
    send(site, texts)
    add_new(site)
    mover = site.start("pool", "move", "celery", "new")
    with site.store() as store:
        eventually(lambda: store.catalog.moves.find("celery") is not None)
        time.sleep(random.Random(seed).uniform(0, 0.1))  # noqa: S311 - no secret
        mover.signal(signal.SIGKILL)
        site.lone_worker("--pool=threads", "--concurrency=4")

        eventually(lambda: is_over(store))
    eventually(lambda: len(site.journal.texts()) >= len(texts))
    assert sorted(site.journal.texts()) == sorted(texts)
    assert pool_of(site) == "new"


def is_over(store):
    found = store.catalog.moves.find("celery")
    return found is None or found.move.phase == MOVED
