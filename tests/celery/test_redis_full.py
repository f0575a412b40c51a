"""A Redis server without free memory accepts no tasks, but delivers those that it stores."""

from __future__ import annotations

import pytest
from kombu.exceptions import OperationalError

from tests.support.celery.site import Site
from tests.support.celery.worker import eventually
from tests.support.servers.redis_server import Server


@pytest.fixture
def server():
    with Server(maxmemory_policy="noeviction") as server:
        yield server


@pytest.fixture
def site(server, tmp_path):
    site = Site(tmp_path, f"pool+{server.uri()}")
    yield site
    site.close()


@pytest.fixture
def limit(server):
    """Return a function that limits the server's memory: ``limit(bytes)``, 0 for no limit."""
    return lambda size: server.ask("CONFIG SET", "maxmemory", size)


def fill(site):
    """Send tasks until one is refused; return the number of accepted tasks and the error text."""
    for number in range(100_000):
        try:
            site.send("note_unanswered", f"{number} {'x' * 10_000}")
        except OperationalError as error:
            return number, str(error)
    raise AssertionError


def test_what_waits_is_worked_off_and_the_worker_lives_on(site, server, limit):
    result = site.send("wait_late", "gate", "open")
    worker = site.lone_worker("--pool=prefork", "--concurrency=1", worker_prefetch_multiplier=4)
    eventually(lambda: site.journal.texts() == ["begin gate"])
    limit(server.ask("INFO", "memory")["used_memory"] + 3_000_000)

    sent, error = fill(site)
    (site.folder / "open").touch()
    site.answer(result)
    eventually(lambda: len(site.journal.texts()) == sent + 2)
    limit(0)

    assert "it is out of memory: raise maxmemory" in error
    assert site.answer(site.send("add", 1, 1)) == 2
    eventually(lambda: site.counts() == (0, 0))
    assert site.inspect(worker).ping() == {worker.name: {"ok": "pong"}}
    assert "Unrecoverable" not in worker.log


def test_a_worker_under_a_server_without_a_byte_left_goes_on_when_there_is_memory_again(site, limit):
    results = [site.send("note", f"note {number}") for number in range(20)]
    worker = site.lone_worker("--pool=prefork", "--concurrency=2")
    for result in results:
        site.answer(result)
    site.send("wait_late", "gate", "open")
    waiting = [site.send("note", f"waiting {number}") for number in range(100)]

    limit(1)
    (site.folder / "open").touch()
    with pytest.raises(OperationalError, match="it is out of memory: raise maxmemory"):
        site.send("note", "refused")
    for result in waiting:
        site.answer(result)
    limit(0)

    assert site.answer(site.send("add", 1, 1)) == 2
    eventually(lambda: site.counts() == (0, 0))
    assert site.inspect(worker).ping() == {worker.name: {"ok": "pong"}}
    assert "refused" not in "".join(site.journal.texts())
