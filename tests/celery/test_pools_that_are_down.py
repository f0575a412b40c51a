"""Workers that start while one of two pools is down, and go on with it when it returns."""

from __future__ import annotations

import re
import time

import pytest

from tests.support.celery.site import Site
from tests.support.celery.worker import eventually
from tests.support.limits import LONG_TEST, best_of, seconds_of
from tests.support.servers.mongodb.replica_set import ReplicaSet
from tests.support.servers.redis_server import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONG_TEST)]

WORKERS = 4
#: Bound of the time from the pool's return until its queue is served, in seconds.
RETURN = 2.0
QUEUES = ("steady", "fragile")


def redis_pool():
    return Server(appendonly="yes", appendfsync="always")


#: The control store, and the pool that goes down: its data survive a restart.
STORES = {
    "sqlite-redis": ("sqlite", redis_pool),
    "redis-redis": ("redis", redis_pool),
    "sqlite-mongodb": ("sqlite", ReplicaSet),
}


@pytest.fixture(params=STORES)
def stores(request):
    return STORES[request.param]


@pytest.fixture
def pools(stores):
    """The servers of the pools, by name."""
    with Server() as steady, stores[1]() as fragile:
        yield {"steady": steady, "fragile": fragile}


@pytest.fixture
def control(stores, tmp_path):
    """The broker URL of the control store."""
    if stores[0] == "sqlite":
        yield f"pool+sqlite:///{tmp_path}/control.db"
        return
    with Server() as server:
        yield f"pool+{server.uri()}"


@pytest.fixture
def site(control, pools, tmp_path):
    """A site with a queue in each pool; each pool has a flavor of its own, and none serves other queues."""
    options = {
        "pools": [{"name": name, "uri": server.uri(), "flavor": name} for name, server in pools.items()],
        "queue_flavors": {name: name for name in pools},
    }
    site = Site(tmp_path, control, broker_transport_options=options)
    yield site
    site.close()


def started(site):
    workers = [site.worker("--pool=solo", f"--queues={','.join(QUEUES)}", ready=False) for _ in range(WORKERS)]
    return [worker.ready() for worker in workers]


def pings(site, workers):
    return site.inspect(*workers).ping()


def test_workers_that_start_while_a_pool_is_down_do_the_work_of_the_other(site, pools):
    waiting = [site.send("note", queue, queue=queue) for queue in QUEUES]
    pools["fragile"].kill()

    workers = started(site)

    pong = {worker.name: {"ok": "pong"} for worker in workers}
    assert site.answer(waiting[0]) == "steady"
    assert pings(site, workers) == pong
    results = [site.send("add", number, 1, queue="steady") for number in range(20)]
    assert [site.answer(result) for result in results] == [*range(1, 21)]
    pools["fragile"].restart()
    assert site.answer(waiting[1]) == "fragile"
    assert best_of(lambda: _return(site, pools["fragile"]), RETURN) < RETURN
    for worker in workers:
        eventually(lambda worker=worker: told(worker)[-1] == "reachable", why=lambda worker=worker: worker.log)
        assert told(worker) == ["unreachable", "reachable"] * (len(told(worker)) // 2)
    assert pings(site, workers) == pong
    for worker in workers:
        worker.stop()
    eventually(lambda: sorted(site.queues()) == sorted(QUEUES), why=lambda: str(site.queues()))
    with site.store() as store:
        assert {entry["queue"] for entry in store.control.catalogue_controller.list(None)} == {*QUEUES}


def told(worker):
    """Return of what the worker's log warns about the fragile pool: of nothing else than its outages."""
    assert "Traceback" not in worker.log
    warnings = [line for line in worker.log.splitlines() if ": WARNING/" in line and "'fragile'" in line]
    return [re.findall(r"\] Pool 'fragile' is (\w+)|$", line)[0] or line for line in warnings]


def _return(site, server):
    """Return how long after a pool's return a task is sent and its result is there, in seconds."""
    server.kill()
    time.sleep(RETURN)  # until the workers have noticed the outage, and ask ever more seldom
    server.restart()
    return seconds_of(lambda: site.answer(site.send("add", 1, 1, queue="fragile")))
