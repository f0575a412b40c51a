"""A stalled Redis server, as during swapping or a snapshot, delays a worker without other effects."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from tests.support.celery.site import Site
from tests.support.celery.worker import eventually
from tests.support.servers.redis_server import Server

#: Seconds: several times the timeout of a connection, and less than the claim TTL.
STALL = 20.0
SHORT = [f"short {number}" for number in range(60)]
LONG = "long"

pytestmark = pytest.mark.slow


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture
def site(server, tmp_path):
    site = Site(tmp_path, f"pool+{server.uri()}")
    yield site
    site.close()


def test_a_worker_goes_on_after_a_stall_and_no_task_runs_twice(site, server):
    worker = site.worker("--pool=prefork", "--concurrency=2", task_acks_late=True)
    long = site.send("work_late", LONG, STALL + 3)
    results = [site.send("work_late", name, 0.05) for name in SHORT]
    eventually(lambda: len(site.journal.texts()) > len(SHORT) / 2)

    server.pause()
    begun = time.monotonic()
    eventually(lambda: time.monotonic() - begun > STALL, within=2 * STALL)
    server.resume()
    for result in [*results, long]:
        site.answer(result)

    assert Counter(site.journal.texts()) == {
        f"{event} {name}": 1 for event in ("begin", "end") for name in [*SHORT, LONG]
    }
    assert site.answer(site.send("add", 1, 1)) == 2
    eventually(lambda: site.counts() == (0, 0))
    assert site.inspect(worker).ping() == {worker.name: {"ok": "pong"}}
    assert "Unrecoverable" not in worker.log
    assert worker.lost_claims() == []
