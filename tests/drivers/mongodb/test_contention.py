"""A queue that other processes claim from at the same time."""

from __future__ import annotations

import threading

import pytest

from kombu_pool.drivers.mongodb import contention
from kombu_pool.testing import bodies
from tests.support.servers import mongodb

NUMBER = 400


def contention_of(queue):
    return queue.driver._store._cached[queue.project, queue.name].scan_bounds.contention


def collide(queue, times=1):
    """Make a process record collisions."""
    for _ in range(times):
        contention_of(queue).record(collided=True)


@pytest.fixture
def last_window(monkeypatch):
    """The choice of the last window."""
    monkeypatch.setattr(contention.random, "randrange", lambda end: end - 1)


@pytest.fixture
def contended(queue, long_cache, rare_scans, monkeypatch):
    """A queue with the messages 10 to 399, under high contention by the estimate of this process."""
    monkeypatch.setattr(contention, "_QUIET_PERIOD", 1000.0)
    queue.post(*range(NUMBER))
    for first in (0, 5):
        assert bodies(queue.claim(limit=5)) == [*range(first, first + 5)]
    queue.driver._store._cached[queue.project, queue.name].scan_bounds.read_ahead.clear()
    collide(queue, 10)
    return queue


class TestInAReplicaSet:
    @pytest.fixture
    def uri(self):
        return mongodb.fresh_uri()

    def test_a_claim_that_meets_nobody_is_two_commands_wherever_it_looks(self, contended, last_window, profiled):
        held = []

        done = profiled(lambda: held.extend(bodies(contended.claim(limit=10))))

        assert held == [*range(320, 330)]
        assert [one["op"] for one in done] == ["query", "update"]

    def test_all_that_waits_is_lent_once(self, contended):
        got = []
        while some := bodies(contended.claim(limit=10)):
            got += some

        assert got != sorted(got)
        assert sorted(got) == [*range(10, NUMBER)]

    def test_one_at_a_time_they_are_lent_in_order(self, contended, last_window):
        assert [bodies(contended.claim(limit=1)) for _ in range(3)] == [[10], [11], [12]]

    def test_who_was_alone_for_long_enough_takes_what_is_first(self, contended, last_window, monkeypatch):
        monkeypatch.setattr(contention, "_QUIET_PERIOD", 0.0)

        assert bodies(contended.claim(limit=10)) == [*range(10, 20)]

    def test_who_met_nobody_often_enough_takes_what_is_first(self, contended, last_window):
        for _ in range(27):
            assert bodies(contended.claim(limit=2))[0] > 10

        rest = [body for _ in range(50) for body in bodies(contended.claim(limit=2))]
        assert rest[:2] == [10, 11]
        assert rest == sorted(rest)

    def test_what_this_process_gives_back_is_first_in_a_crowd_too(self, contended, last_window):
        held = contended.claim(limit=1)
        contended.end(held.id)

        assert bodies(contended.claim(limit=10)) == [*range(10, 20)]

    def test_who_makes_room_is_no_crowd(self, queue, other, long_cache, rare_scans):
        """A full queue drops the messages that its only consumer has just scanned."""
        queue.driver.queue_controller.set_metadata(queue.name, {"_max_length": 20}, queue.project)
        queue.post(*range(20))
        got = [body for _ in range(3) for body in bodies(queue.claim(limit=2))]
        other.post(*range(20, 40))

        got += [body for _ in range(3) for body in bodies(queue.claim(limit=2))]

        assert got == [0, 1, 2, 3, 4, 5, 20, 21, 22, 23, 24, 25]
        assert not contention_of(queue).is_present

    def test_what_expires_is_no_crowd(self, queue, clock, long_cache, rare_scans):
        queue.post(*range(8), ttl=10)
        queue.post(*range(8, 20))
        got = [body for _ in range(2) for body in bodies(queue.claim(limit=2))]
        clock.advance(11)

        got += bodies(queue.claim(limit=2))

        assert got == [0, 1, 2, 3, 8, 9]
        assert not contention_of(queue).is_present


def test_of_less_than_a_crowd_could_share_who_comes_first_gets_the_first(queue, last_window):
    queue.post(*range(3), "last")
    assert bodies(queue.claim(limit=1)) == [0]
    collide(queue, 10)

    assert bodies(queue.claim(limit=2)) == [1, 2]
    assert bodies(queue.claim(limit=2)) == ["last"]
    assert bodies(queue.claim(limit=2)) == []


def test_what_was_lent_too_often_and_nobody_takes_is_lent_in_a_crowd_too(queue, driver, clock):
    metadata = {"_max_claim_count": 1, "_dead_letter_queue": "nowhere"}
    driver.queue_controller.set_metadata(queue.name, metadata, queue.project)
    queue.post("a")
    queue.claim()
    clock.advance(60)
    collide(queue)
    found = []

    claimer = threading.Thread(target=lambda: found.extend(bodies(queue.claim(limit=1))), daemon=True)
    claimer.start()
    claimer.join(10)

    assert found == ["a"]
