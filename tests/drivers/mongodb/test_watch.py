"""Watches of queues that are deleted, with change streams and without."""

from __future__ import annotations

import math
import threading
import time
from contextlib import closing

import pytest

from kombu_pool import drivers
from kombu_pool.clock import SystemClock
from kombu_pool.drivers.mongodb import watch as watch_module
from kombu_pool.drivers.mongodb.watch import MongoWatch
from kombu_pool.testing import QueueHandle, bodies
from tests.support.limits import LIMIT
from tests.support.servers import mongodb


@pytest.fixture
def watch(driver, queue):
    opened = driver.watch([(queue.project, queue.name)])
    assert not opened.wait(0)
    yield opened
    opened.close()


def test_a_change_stream_tells_of_a_deletion_at_once(watch, queue, other, monkeypatch):
    # Later than the limit: only the stream can wake the watch.
    monkeypatch.setattr(watch_module, "_STREAM_INTERVAL", 2 * LIMIT)
    deletion = threading.Timer(0.5, other.drop)
    deletion.start()

    assert watch.wait(LIMIT) is True

    deletion.join()
    assert watch.wait(0) is False


def test_the_deletion_of_another_queue_costs_no_scan(watch, queues, monkeypatch):
    monkeypatch.setattr(watch_module, "_STREAM_INTERVAL", LIMIT)
    monkeypatch.setattr(watch_module, "_MAX_INTERVAL", LIMIT)
    monkeypatch.setattr(watch_module, "_MIN_INTERVAL", LIMIT)
    another = queues("another")
    scans, scan = [], MongoWatch._scan
    monkeypatch.setattr(MongoWatch, "_scan", lambda self, *names: scans.append(1) or scan(self, *names))
    counts = []

    def delete():
        counts.append(len(scans))
        another.drop()

    deletion = threading.Timer(1.0, delete)
    deletion.start()

    # The insertions of sentinels of another queue are none of this watch either.
    assert watch.wait(2.0) is False

    deletion.join()
    assert len(scans) <= counts[0] + 1


def test_a_scan_costs_the_same_though_it_looks_for_deletions(watch, round_trips):
    assert round_trips(lambda: watch.wait(0)) == 2


def test_a_replaced_queue_is_told_once(watch, queue, other):
    other.drop()
    other.create()

    assert watch.wait(0) is True
    assert watch.wait(0) is False
    queue.post("a")
    assert watch.wait(LIMIT) is True


# While a change stream is open.


class TestWithAStream:
    @pytest.fixture
    def uri(self):
        return mongodb.fresh_uri()

    @pytest.fixture
    def clock(self):
        return SystemClock()

    @pytest.fixture
    def quiet(self, queues, driver):
        """A watch of three queues that relies on its change stream."""
        names = [(queues(name).project, name) for name in ("a", "b", "c")]
        opened = driver.watch(names)
        until = time.monotonic() + LIMIT
        # The opening of the stream is reported, too, and costs another scan.
        while not opened._stream.is_open or opened._unscanned:
            opened.wait(0.1)
            assert time.monotonic() < until
        opened.wait(0.1)
        yield opened
        opened.close()

    def test_an_idle_wait_is_a_read_a_second(self, quiet, round_trips):
        began = time.monotonic()
        sent = round_trips(lambda: quiet.wait(3))

        # Of the reads and the requests for the next change, one a second each; a loaded machine may take longer.
        assert sent <= 2 * (time.monotonic() - began + 1)
        assert quiet.ready == frozenset()

    def test_a_queue_that_was_scanned_whole_is_not_scanned_again_for_another(self, quiet):
        for (_, name), cached in quiet._known.items():
            cached._full_scan_at = math.inf if name == "b" else -math.inf
        quiet._unscanned = quiet._names

        assert not quiet.wait(0)

        assert {name for _, name in quiet._unscanned} == {"b"}

    def test_a_wake_up_names_the_queue(self, quiet, driver):
        QueueHandle(driver, "b", "p").post("x")

        assert quiet.wait(LIMIT)

        assert quiet.ready == {("p", "b")}

    def test_a_queue_that_was_not_claimed_from_is_named_again(self, quiet, driver):
        QueueHandle(driver, "b", "p").post("x")
        assert quiet.wait(LIMIT)

        assert quiet.wait(LIMIT)

        assert quiet.ready == {("p", "b")}

    def test_a_claim_of_another_process_that_ends_wakes_it(self, quiet, uri):
        with closing(drivers.open_data(uri)) as driver:
            other = QueueHandle(driver, "c", "p")
            other.post("x")
            assert quiet.wait(LIMIT)
            assert bodies(other.claim(ttl=2)) == ["x"]

            until = time.monotonic() + LIMIT
            while not quiet.wait(1) or quiet.ready != {("p", "c")} or not other.free():
                assert time.monotonic() < until

    def test_a_message_that_becomes_due_wakes_it(self, quiet, driver):
        QueueHandle(driver, "a", "p").post("x", delay=1)
        until = time.monotonic() + LIMIT

        while not QueueHandle(driver, "a", "p").free():
            quiet.wait(LIMIT)
            assert time.monotonic() < until

    def test_a_resumed_queue_wakes_it(self, quiet, driver):
        paused = QueueHandle(driver, "b", "p")
        driver.queue_controller.pause("b", "p")
        paused.post("x")
        while quiet.wait(0.5):
            pass

        resumption = threading.Timer(0.5, driver.queue_controller.resume, ("b", "p"))
        resumption.start()

        assert quiet.wait(LIMIT)
        resumption.join()
        assert bodies(paused.claim()) == ["x"]

    def test_a_message_without_a_report_is_found_later(self, quiet, driver, monkeypatch):
        monkeypatch.setattr(watch_module, "_SCAN_INTERVAL", 2.0)
        monkeypatch.setattr(quiet._stream, "_report", lambda *_, **__: None)
        QueueHandle(driver, "b", "p").post("x")

        assert quiet.wait(LIMIT)

        assert quiet.ready == {("p", "b")}
