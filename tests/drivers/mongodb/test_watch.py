"""Watches of queues that are deleted, with change streams and without."""

from __future__ import annotations

import threading

import pytest

from kombu_pool.drivers.mongodb import watch as watch_module
from kombu_pool.drivers.mongodb.watch import MongoWatch
from tests.support.limits import LIMIT


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
    monkeypatch.setattr(MongoWatch, "_scan", lambda self: scans.append(1) or scan(self))
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
