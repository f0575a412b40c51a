"""Where a process looks no more: what is there all the same is found, and what is gone costs nothing."""

from __future__ import annotations

import threading
import time

import pytest

from kombu_pool import drivers
from kombu_pool.drivers.mongodb import scan_bounds
from kombu_pool.testing import ManualClock, QueueHandle, bodies, ids
from tests.drivers.mongodb.test_lost_answers import hindered
from tests.support.servers import mongodb


@pytest.fixture
def uri():
    return mongodb.fresh_uri()


@pytest.fixture
def seldom(monkeypatch):
    """Let nobody look everywhere but at first."""
    monkeypatch.setattr(scan_bounds, "_FULL_SCAN_INTERVAL", 1000.0)


def passed(queue, clock, priority=0):
    """Let the queue's process see messages come and go, and know that for long no other has come."""
    queue.post("gone", priority=priority)
    taken(queue)
    clock.advance(10)
    taken(queue)


def taken(queue):
    held = queue.claim()
    queue.delete_claimed([(one, held.id) for one in ids(held)])
    return bodies(held)


@pytest.fixture
def skipped(database):
    """Return how often the server stepped over a hundred entries or more that are gone, while something was done."""

    def count():
        told = database.client.admin.command("serverStatus")["wiredTiger"]["cursor"]
        return told["cursor next calls that skip greater than or equal to 100 entries"]

    def measure(action):
        before = count()
        action()
        return count() - before

    return measure


@pytest.mark.usefixtures("seldom")
def test_nobody_steps_over_what_is_gone(queue, clock, skipped):
    def drain():
        queue.post(*range(400))
        while taken(queue):
            clock.advance(1)

    drain()
    queue.post("next")

    assert skipped(lambda: queue.claim(limit=1)) == 0
    assert skipped(lambda: queue.claim(limit=1)) == 0


@pytest.mark.usefixtures("seldom")
def test_a_higher_priority_comes_first_wherever_the_line_begins(queue, clock):
    passed(queue, clock)
    passed(queue, clock, priority=5)
    for priority in (0, 3, 5, 9):
        queue.post(priority, priority=priority)

    assert taken(queue) == [9, 5, 3, 0]


@pytest.mark.usefixtures("seldom")
def test_what_is_released_is_first_wherever_the_line_begins(queue, clock):
    queue.post("first")
    held = queue.claim(limit=1, ttl=1000)
    passed(queue, clock)
    queue.post("last")

    queue.release(held.id, ids(held))

    assert taken(queue) == ["first", "last"]


@pytest.mark.usefixtures("seldom")
def test_what_was_delayed_is_first_wherever_the_line_begins(queue, clock):
    queue.post("first", delay=25)
    passed(queue, clock)
    passed(queue, clock)
    clock.advance(5)
    queue.post("last")

    assert taken(queue) == ["first", "last"]


def test_what_comes_late_is_found_by_a_look_everywhere(queue, clock, uri):
    behind = drivers.open_data(uri, clock=ManualClock(clock.time()))
    passed(queue, clock)

    QueueHandle(behind, queue.name, queue.project).post("late")

    until = time.monotonic() + 10
    while not (found := taken(queue)):
        assert time.monotonic() < until
    assert found == ["late"]
    behind.close()


@pytest.fixture
def late(queue, clock, uri):
    """A message of a process whose clock is behind, where all others look no more."""
    behind = drivers.open_data(uri, clock=ManualClock(clock.time()))
    passed(queue, clock)
    yield QueueHandle(behind, queue.name, queue.project).post("late")
    behind.close()


@pytest.mark.usefixtures("late")
def test_what_comes_late_is_found_by_who_is_woken_for_it(queue, driver):
    watch = driver.watch([(queue.project, queue.name)])

    until = time.monotonic() + 10
    while not (found := taken(queue)):
        assert time.monotonic() < until
        watch.wait(10)

    assert found == ["late"]
    watch.close()


@pytest.mark.usefixtures("late")
def test_what_comes_late_is_found_though_it_is_counted_all_the_time(queue):
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        queue.count()

    assert taken(queue) == ["late"]


def test_a_look_that_waited_for_a_primary_is_not_the_last_one_for_long(monkeypatch):
    seen = scan_bounds.ScanBounds()
    seen.record_first(scan_bounds.FULL_RANGE, b"\xff" + bytes(15), 100.0)
    seen.record_duration(scan_bounds.FULL_RANGE, 60.0)
    later = time.monotonic() + 11

    monkeypatch.setattr(time, "monotonic", lambda: later)

    assert seen.next_range(100.0) is scan_bounds.FULL_RANGE


@pytest.mark.usefixtures("seldom")
def test_a_process_with_a_clock_that_was_set_back_hides_nothing_from_others(queue, clock, uri):
    passed(queue, clock)
    clock.now -= 3600
    taken(queue)
    fresh = drivers.open_data(uri, clock=clock)

    QueueHandle(fresh, queue.name, queue.project).post("a")

    assert taken(queue) == ["a"]
    fresh.close()


def test_a_clock_that_is_set_back_hides_nothing(queue, clock):
    passed(queue, clock)
    clock.now -= 5

    queue.post("a")

    assert taken(queue) == ["a"]


@pytest.mark.usefixtures("seldom")
@pytest.mark.parametrize("delay", [0, 0.05])
def test_a_slow_post_is_seen_by_who_looked_there_before(delay):
    with mongodb.MongoServer(enableTestCommands=1) as server:
        slow, quick = (QueueHandle(drivers.open_data(server.uri("late")), "q", None) for _ in range(2))
        slow.create()
        quick.post("gone")
        taken(quick)
        with hindered(server, "insert", 1, blockConnection=True, blockTimeMS=1000):
            post = threading.Thread(target=slow.post, args=("late",), kwargs={"delay": delay})
            post.start()
            found = taken(quick)
            while post.is_alive():
                found += taken(quick)

        assert found + taken(quick) == ["late"]
        slow.driver.close()
        quick.driver.close()


@pytest.mark.usefixtures("seldom")
def test_what_is_lent_for_no_time_is_free_at_once(queue):
    queue.post("a", "b")
    queue.claim(limit=1, ttl=0)

    assert taken(queue) == ["a", "b"]


@pytest.mark.usefixtures("seldom")
def test_a_claim_that_is_renewed_for_no_time_ends_at_once(queue):
    queue.post("a")
    held = queue.claim()
    assert taken(queue) == []
    queue.renew(held.id, ttl=0)

    assert taken(queue) == ["a"]


def test_what_another_thread_awaits_is_looked_for_in_time():
    """It was noted while somebody looked for what is due, who then notes that nothing is."""
    known = scan_bounds.ScanBounds()
    known.next_range(100.0)
    known.expect_due(100.3)

    known.record_no_due(100.0, seconds=1.0)

    assert known.has_no_due(100.2)
    assert not known.has_no_due(100.3)


def test_what_was_awaited_is_awaited_no_longer():
    known = scan_bounds.ScanBounds()
    known.expect_due(100.3)

    known.record_no_due(100.3, seconds=1.0)

    assert known.has_no_due(101.2)
