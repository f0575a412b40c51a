"""A post that is repeated by another process, or after its producer was killed in the middle of it, is stored once.

Over the networked stores, where a post may still be on its way after its producer is gone. Not part of the shipped
suite: a MongoDB must end the transactions of the killed process first, and the stores must be shared by processes.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing

import pymongo
import pytest

from kombu_pool import drivers, errors
from kombu_pool.storage import IDEMPOTENCY_WINDOW
from kombu_pool.testing import ManualClock, QueueHandle
from tests.support.conformance import child_programs
from tests.support.conformance.stores import STORES
from tests.support.servers.waiting import first_answer
from tests.support.simultaneous import race
from tests.support.transport.child_programs import Programs

NETWORKED = ["redis", "redis-cluster", "mongodb", "mongodb-standalone"]
#: The metadata of the queue and the number of messages of a post: some stores have a code path for each.
CASES = {
    "one": ({}, 1),
    "several": ({}, 3),
    "bounded": ({"_max_length": 10_000, "_overflow": "reject-publish"}, 2),
}
POSTS = 60
NAMES = list("abcdef")
#: Seconds after which no store keeps anything for a process that was killed in the middle of a post.
AFTER_KILL = 60


@pytest.fixture(params=NETWORKED)
def uri(request, tmp_path):
    return STORES[request.param].uri(tmp_path, "store")


@pytest.fixture
def clock():
    return ManualClock(time.time() + AFTER_KILL)


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
    started = Programs("tests.support.conformance.child_programs")
    yield started
    started.kill()


def named(uri):
    """Return the URI with the name by which a MongoDB finds the sessions of the killed process."""
    return f"{uri}{'&' if '?' in uri else '?'}appName=victim" if uri.startswith("mongodb:") else uri


def end_transactions(uri):
    """End the transactions of the killed process, which a MongoDB would end by itself within a minute."""
    with pymongo.MongoClient(uri) as client:
        stages = [{"$currentOp": {"idleSessions": True}}, {"$match": {"appName": "victim", "lsid": {"$exists": True}}}]
        open_sessions = [{"id": one["lsid"]["id"]} for one in client.admin.aggregate(stages)]
        if open_sessions:
            client.admin.command("killSessions", open_sessions)


def retry(uri, action):
    """Call ``action`` until the store can be reached, as Kombu does."""
    for _ in range(5):
        try:
            return action()
        except errors.ConnectionError:
            end_transactions(uri)
    return action()


def test_what_two_processes_post_at_the_same_time_is_stored_once(uri, queue, size):
    first, second = race(child_programs.make_posts, *[(uri, size, POSTS)] * 2)

    assert first == second
    assert [message["id"] for message in queue.page(limit=0)[0]] == [one for post in first for one in post]


def test_what_a_killed_process_posted_is_stored_once_when_another_one_posts_it_again(
    uri, queue, programs, tmp_path, size, clock
):
    record = tmp_path / "record"
    victim = programs.start("post_until_killed", uri=named(uri), size=size, names=NAMES, record=str(record))
    first_answer(lambda: len(child_programs.begun_posts(record)) > 10 * len(NAMES))
    victim.kill()
    last = dict(child_programs.begun_posts(record))

    retry(uri, lambda: [child_programs.post(queue, name, number, size) for name, number in last.items()])
    clock.advance(IDEMPOTENCY_WINDOW)
    queue.driver.gc()

    assert Counter(queue.all()) == {f"{name} {n}": size for name in last for n in range(1, last[name] + 1)}
