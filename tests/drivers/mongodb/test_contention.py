"""A queue that other processes claim from at the same time: each claim gets the first messages that are free."""

from __future__ import annotations

import threading

import pytest

from kombu_pool.drivers.mongodb import cached_queue
from kombu_pool.drivers.mongodb.queue_scan import QueueScanner
from kombu_pool.testing import bodies
from tests.support.servers import mongodb

NUMBER = 400


@pytest.fixture
def uri():
    return mongodb.fresh_uri()


@pytest.fixture
def slow_claim(queue, monkeypatch):
    """Return a function that claims, and runs an action between the scan and the update of the claim."""
    scan = QueueScanner.scan

    def claim(limit, action):
        def act_after(*arguments):
            found = scan(*arguments)
            patch.undo()
            action()
            return found

        with monkeypatch.context() as patch:
            patch.setattr(QueueScanner, "scan", act_after)
            return bodies(queue.claim(limit=limit))

    return claim


@pytest.fixture
def contended(queue, other, slow_claim, long_cache, rare_scans, monkeypatch):
    """A queue with the messages 20 to 399, of which another process has claimed some that this one had scanned."""
    monkeypatch.setattr(cached_queue, "_CONTENTION_TTL", 1000.0)
    queue.post(*range(NUMBER))
    assert bodies(queue.claim(limit=5)) == [*range(5)]
    assert slow_claim(5, lambda: other.claim(limit=10)) == [*range(15, 20)]
    return queue


def test_a_claim_that_loses_some_messages_gets_the_others(queue, other, slow_claim):
    queue.post(*range(20))
    assert bodies(queue.claim(limit=2)) == [0, 1]

    assert slow_claim(5, lambda: other.claim(limit=3)) == [5, 6]
    assert bodies(queue.claim(limit=5)) == [*range(7, 12)]


def test_a_claim_that_loses_its_only_message_gets_the_next(queue, other, slow_claim):
    queue.post(*range(20))

    assert slow_claim(1, lambda: other.claim(limit=3)) == [3]


@pytest.mark.parametrize("limit", [1, 7])
def test_all_is_claimed_once_and_in_order(contended, limit):
    got = []
    while some := bodies(contended.claim(limit=limit)):
        got += some

    assert got == [*range(20, NUMBER)]


def test_a_contended_claim_of_several_is_two_commands(contended, profiled):
    held = []

    done = profiled(lambda: held.extend(bodies(contended.claim(limit=10))))

    assert held == [*range(20, 30)]
    assert [one["command"].get("aggregate") or one["op"] for one in done if one["op"] != "update"] == [
        "kombu_pool_messages",
        "query",
    ]


def test_contention_ends(contended, monkeypatch, profiled):
    cached = contended.driver._store._cached[contended.project, contended.name]
    monkeypatch.setattr(cached, "_contended_until", 0.0)

    done = profiled(lambda: contended.claim(limit=10))

    assert [one["op"] for one in done] == ["query", "update"]


def test_a_higher_priority_of_another_process_is_first(contended, other):
    other.post("urgent", priority=9)

    assert bodies(contended.claim(limit=2)) == ["urgent", 20]


def test_a_released_message_is_first(contended, other):
    held = other.claim(limit=1)
    other.end(held.id)

    assert bodies(contended.claim(limit=3)) == [20, 21, 22]


def test_an_expired_message_is_not_claimed(contended, other, clock):
    other.post("old", priority=9, ttl=10)
    clock.advance(11)

    assert bodies(contended.claim(limit=2)) == [20, 21]


def test_a_full_queue_that_drops_scanned_messages_stays_in_order(queue, other, slow_claim):
    queue.driver.queue_controller.set_metadata(queue.name, {"_max_length": 20}, queue.project)
    queue.post(*range(20))
    got = [body for _ in range(3) for body in bodies(queue.claim(limit=2))]

    got += slow_claim(2, lambda: other.post(*range(20, 40)))
    got += [body for _ in range(2) for body in bodies(queue.claim(limit=2))]

    assert got == [0, 1, 2, 3, 4, 5, 20, 21, 22, 23, 24, 25]


def test_several_threads_share_what_there_is(contended, other):
    got = []

    def claim(queue):
        while some := bodies(queue.claim(limit=7)):
            got.extend(some)

    threads = [threading.Thread(target=claim, args=(one,), daemon=True) for one in (contended, other) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(got) == [*range(20, NUMBER)]


def test_a_message_over_the_delivery_limit_without_a_target_is_claimed_too(queue, other, slow_claim, clock):
    metadata = {"_max_claim_count": 1, "_dead_letter_queue": "nowhere"}
    queue.driver.queue_controller.set_metadata(queue.name, metadata, queue.project)
    queue.post("a")
    queue.claim()
    queue.post("b")
    clock.advance(60)

    assert slow_claim(1, lambda: None) == ["a"]
    assert bodies(queue.claim(limit=1)) == ["b"]
