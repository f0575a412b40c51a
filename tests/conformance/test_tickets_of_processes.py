"""A post that is made again while it is on its way, or after who made it was killed, is stored once.

On the stores with a wire, on which a post can be on its way though who made it has given it up; and which do not know
who makes it again.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing

import pymongo
import pytest

from kombu_pool import drivers, errors
from kombu_pool.clock import ManualClock
from kombu_pool.storage import IDEMPOTENCY_WINDOW
from tests.conformance import posters
from tests.conformance.conftest import STORES
from tests.conformance.handles import QueueHandle
from tests.support.servers.waiting import first_answer
from tests.support.simultaneous import race
from tests.support.transport.child_programs import Programs

WIRED = ["redis", "redis-cluster", "mongodb", "mongodb-standalone"]
#: Queues and how many messages a post has: some stores have a way of their own for each.
CASES = {
    "one": ({}, 1),
    "several": ({}, 3),
    "bounded": ({"_max_length": 10_000, "_overflow": "reject-publish"}, 2),
}
POSTS = 60
NAMES = list("abcdef")
#: Seconds after which no store keeps anything for a process that was killed in the middle of a post.
LATER = 60


@pytest.fixture(params=WIRED)
def uri(request, tmp_path):
    return STORES[request.param].uri(tmp_path, "store")


@pytest.fixture
def clock():
    return ManualClock(time.time() + LATER)


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture
def size(case):
    return case[1]


@pytest.fixture
def queue(uri, clock, case):
    with closing(drivers.open_data(uri, clock=clock)) as driver:
        made = QueueHandle(driver, "q", None)
        made.create(**case[0])
        yield made


@pytest.fixture
def programs():
    started = Programs("tests.conformance.posters")
    yield started
    started.kill()


def named(uri):
    """Return the URI by which a MongoDB knows who is killed."""
    return f"{uri}{'&' if '?' in uri else '?'}appName=victim" if uri.startswith("mongodb:") else uri


def end_transactions(uri):
    """Let a MongoDB end the transactions of who was killed, as it does by itself within a minute."""
    with pymongo.MongoClient(uri) as client:
        stages = [{"$currentOp": {"idleSessions": True}}, {"$match": {"appName": "victim", "lsid": {"$exists": True}}}]
        left = [{"id": one["lsid"]["id"]} for one in client.admin.aggregate(stages)]
        if left:
            client.admin.command("killSessions", left)


def persistently(uri, action):
    """Do something until it works, as Kombu does."""
    for _ in range(5):
        try:
            return action()
        except errors.ConnectionError:
            end_transactions(uri)
    return action()


def test_what_two_processes_post_at_the_same_time_is_stored_once(uri, queue, size):
    first, second = race(posters.make_posts, *[(uri, size, POSTS)] * 2)

    assert first == second
    assert [message["id"] for message in queue.page(limit=0)[0]] == [one for post in first for one in post]


def test_what_a_killed_process_posted_is_stored_once_when_another_one_posts_it_again(
    uri, queue, programs, tmp_path, size, clock
):
    record = tmp_path / "record"
    victim = programs.start("post_until_killed", uri=named(uri), size=size, names=NAMES, record=str(record))
    first_answer(lambda: len(posters.begun(record)) > 10 * len(NAMES))
    victim.kill()
    last = dict(posters.begun(record))

    persistently(uri, lambda: [posters.post(queue, name, number, size) for name, number in last.items()])
    clock.advance(IDEMPOTENCY_WINDOW)
    queue.driver.gc()

    assert Counter(queue.all()) == {f"{name} {n}": size for name in last for n in range(1, last[name] + 1)}
