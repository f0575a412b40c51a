"""Outside its scan bounds a process finds late messages by full scans; entries of deleted messages cost nothing."""

from __future__ import annotations

import threading
import time

import pytest

from kombu_pool import drivers
from kombu_pool.drivers.mongodb import cached_queue
from kombu_pool.drivers.mongodb.cached_queue import Queue
from kombu_pool.model import WAITING, Uniqueness
from kombu_pool.storage import policy
from kombu_pool.testing import ManualClock, QueueHandle, bodies, ids
from tests.support.limits import LIMIT
from tests.support.mongodb.failures import failing_command
from tests.support.servers import mongodb


@pytest.fixture
def uri():
    return mongodb.fresh_uri()


@pytest.fixture
def no_full_scans(monkeypatch):
    """Full scans only at first."""
    monkeypatch.setattr(cached_queue, "FULL_SCAN_INTERVAL", 1000.0)


@pytest.fixture
def cached():
    """A queue as a process knows it that has just read it."""
    return cached_queue.CachedQueue(
        Queue(None, "queue", b"i" * 12, "", policy.write({}), None, paused=False), time.monotonic()
    )


def advance_bounds(queue, clock, priority=0):
    """Make the queue's process consume a message, and raise its scan bounds as no other has come for long."""
    queue.post("gone", priority=priority)
    consume(queue)
    clock.advance(10)
    consume(queue)


def consume(queue):
    held = queue.claim()
    queue.delete_claimed([(one, held.id) for one in ids(held)])
    return bodies(held)


@pytest.fixture
def skipped(database):
    """Return a function that counts how often an action made the server skip a hundred dead entries or more."""

    def count():
        cursors = database.client.admin.command("serverStatus")["wiredTiger"]["cursor"]
        return cursors["cursor next calls that skip greater than or equal to 100 entries"]

    def measure(action):
        before = count()
        action()
        return count() - before

    return measure


@pytest.mark.usefixtures("no_full_scans")
def test_no_claim_steps_over_what_is_gone(queue, clock, skipped):
    def drain():
        queue.post(*range(400))
        while consume(queue):
            clock.advance(1)

    drain()
    queue.post("next")

    assert skipped(lambda: queue.claim(limit=1)) == 0
    assert skipped(lambda: queue.claim(limit=1)) == 0


@pytest.mark.usefixtures("no_full_scans")
def test_a_higher_priority_comes_first_wherever_the_line_begins(queue, clock):
    advance_bounds(queue, clock)
    advance_bounds(queue, clock, priority=5)
    for priority in (0, 3, 5, 9):
        queue.post(priority, priority=priority)

    assert consume(queue) == [9, 5, 3, 0]


@pytest.mark.usefixtures("no_full_scans")
def test_what_is_released_is_first_wherever_the_line_begins(queue, clock):
    queue.post("first")
    held = queue.claim(limit=1, ttl=1000)
    advance_bounds(queue, clock)
    queue.post("last")

    queue.release(held.id, ids(held))

    assert consume(queue) == ["first", "last"]


@pytest.mark.usefixtures("no_full_scans")
def test_what_was_delayed_is_first_wherever_the_line_begins(queue, clock):
    queue.post("first", delay=25)
    advance_bounds(queue, clock)
    advance_bounds(queue, clock)
    clock.advance(5)
    queue.post("last")

    assert consume(queue) == ["first", "last"]


def test_what_comes_late_is_found_by_a_look_everywhere(queue, clock, uri):
    behind = drivers.open_data(uri, clock=ManualClock(clock.time()))
    advance_bounds(queue, clock)

    QueueHandle(behind, queue.name, queue.project).post("late")

    until = time.monotonic() + LIMIT
    while not (found := consume(queue)):
        assert time.monotonic() < until
    assert found == ["late"]
    behind.close()


@pytest.fixture
def late(queue, clock, uri):
    """A message of a process whose clock is behind, outside the scan bounds of the others."""
    behind = drivers.open_data(uri, clock=ManualClock(clock.time()))
    advance_bounds(queue, clock)
    yield QueueHandle(behind, queue.name, queue.project).post("late")
    behind.close()


@pytest.mark.usefixtures("late")
def test_what_comes_late_is_found_by_the_claim_that_it_wakes(queue, driver):
    watch = driver.watch([(queue.project, queue.name)])

    until = time.monotonic() + LIMIT
    while not (found := consume(queue)):
        assert time.monotonic() < until
        watch.wait(LIMIT)

    assert found == ["late"]
    watch.close()


@pytest.mark.usefixtures("late")
def test_what_comes_late_is_found_though_it_is_counted_all_the_time(queue):
    limit = time.monotonic() + LIMIT
    while not (found := consume(queue)):
        assert time.monotonic() < limit
        # Longer than the interval between full scans, but on a slow machine, whose scans are further apart.
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            queue.count()

    assert found == ["late"]


def test_a_look_that_waited_for_a_primary_is_not_the_last_one_for_long(cached, monkeypatch):
    cached.record_first(cached.plan(100.0, 1), b"\xff" + bytes(15))
    cached.record_duration(cached_queue.FULL_RANGE, 60.0)
    later = time.monotonic() + 11

    monkeypatch.setattr(time, "monotonic", lambda: later)

    assert cached.plan(100.0, 1).range is cached_queue.FULL_RANGE


@pytest.mark.usefixtures("no_full_scans")
def test_a_process_with_a_clock_that_was_set_back_hides_nothing_from_others(queue, clock, uri):
    advance_bounds(queue, clock)
    clock.now -= 3600
    consume(queue)
    fresh = drivers.open_data(uri, clock=clock)

    QueueHandle(fresh, queue.name, queue.project).post("a")

    assert consume(queue) == ["a"]
    fresh.close()


def test_a_clock_that_is_set_back_hides_nothing(queue, clock):
    advance_bounds(queue, clock)
    clock.now -= 5

    queue.post("a")

    assert consume(queue) == ["a"]


@pytest.mark.usefixtures("no_full_scans")
@pytest.mark.parametrize("options", [{"delay": 0}, {"delay": 0.05}, {"unique": Uniqueness("u", WAITING)}])
def test_a_slow_post_is_seen_by_a_driver_that_looked_there_before(options):
    with mongodb.MongoServer(enableTestCommands=1) as server:
        slow, quick = (QueueHandle(drivers.open_data(server.uri("late")), "q", None) for _ in range(2))
        slow.create()
        quick.post("gone")
        consume(quick)
        with failing_command(server, "insert", 1, blockConnection=True, blockTimeMS=1000):
            post = threading.Thread(target=slow.post, args=("late",), kwargs=options)
            post.start()
            found = consume(quick)
            while post.is_alive():
                found += consume(quick)

        assert found + consume(quick) == ["late"]
        slow.driver.close()
        quick.driver.close()


@pytest.mark.usefixtures("no_full_scans")
def test_what_is_lent_for_no_time_is_free_at_once(queue):
    queue.post("a", "b")
    queue.claim(limit=1, ttl=0)

    assert consume(queue) == ["a", "b"]


@pytest.mark.usefixtures("no_full_scans")
def test_a_claim_that_is_renewed_for_no_time_ends_at_once(queue):
    queue.post("a")
    held = queue.claim()
    assert consume(queue) == []
    queue.renew(held.id, ttl=0)

    assert consume(queue) == ["a"]


def checks_due(cached, now):
    cached.record_duration(cached_queue.FULL_RANGE, 0.0)
    return cached.plan(now, 1).checks_due


def test_what_another_thread_awaits_is_looked_for_in_time(cached):
    """The due time is recorded during a check, which then records that nothing is due."""
    cached.expect_due(100.03)

    cached.record_no_due(100.0)

    assert not checks_due(cached, 100.02)
    assert checks_due(cached, 100.03)


def test_what_was_awaited_is_awaited_no_longer(cached):
    cached.expect_due(100.3)

    cached.record_no_due(100.3)

    assert not checks_due(cached, 100.39)
    assert checks_due(cached, 100.41)
