"""A process that claims in quick succession scans rarely, and claims the same messages as by a scan each time."""

from __future__ import annotations

import pytest

from kombu_pool import drivers
from kombu_pool.drivers.mongodb import read_ahead
from kombu_pool.drivers.mongodb.queue_scan import QueueScanner
from kombu_pool.testing import QueueHandle, bodies, ids
from tests.support.servers import mongodb

pytestmark = pytest.mark.usefixtures("long_cache", "rare_scans")


@pytest.fixture
def uri():
    return mongodb.fresh_uri()


@pytest.fixture
def busy(queue):
    """A queue with the messages 4 to 39, some of which this process has read ahead."""
    queue.post(*range(40))
    for first in (0, 1, 2, 3):
        assert bodies(queue.claim(limit=1)) == [first]
    return queue


@pytest.fixture
def other(queue, uri, clock):
    """The same queue with the caches of another process."""
    driver = drivers.open_data(uri, clock=clock)
    yield QueueHandle(driver, queue.name, queue.project)
    driver.close()


def test_a_claim_of_what_was_seen_before_is_one_command(busy, profiled):
    done = profiled(lambda: busy.claim(limit=1))

    assert [(one["op"], one["nModified"]) for one in done] == [("update", 1)]


def test_all_come_in_order(busy):
    got = [body for limit in (1, 5, 2, 3, 8, 30) for body in bodies(busy.claim(limit=limit))]

    assert got == [*range(4, 40)]


def test_what_this_process_gives_back_is_first(busy):
    held = busy.claim(limit=1)
    whole = busy.claim(limit=1)

    busy.release(held.id, ids(held))
    assert bodies(busy.claim(limit=1)) == [4]

    busy.end(whole.id)
    assert bodies(busy.claim(limit=1)) == [5]


def test_what_this_process_gives_back_while_another_thread_looks_is_first(busy, driver, monkeypatch):
    held = busy.claim(limit=1)
    driver._store._cached[busy.project, busy.name].scan_bounds.read_ahead.clear()
    original = QueueScanner.find_free

    def free(store, *arguments, **options):
        found = original(store, *arguments, **options)
        busy.release(held.id, ids(held))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(QueueScanner, "find_free", free)
        assert bodies(busy.claim(limit=1)) == [5]

    assert bodies(busy.claim(limit=1)) == [4]


def test_what_this_process_posts_is_where_its_priority_puts_it(busy):
    busy.post("urgent", priority=9)

    assert bodies(busy.claim(limit=2)) == ["urgent", 4]


def test_what_another_process_has_taken_is_not_lent_again(busy, other):
    claimed = bodies(other.claim(limit=3))
    got = bodies(busy.claim(limit=2)) + bodies(busy.claim(limit=30))

    assert claimed == [4, 5, 6]
    assert sorted(got) == [*range(7, 39)]


def test_what_another_process_gives_back_stands_where_it_stood(busy, other, monkeypatch, profiled):
    monkeypatch.setattr(read_ahead, "_TTL", 0.0)
    busy.claim(limit=1)
    middle = ids(busy.page(limit=40)[0])[20]
    held = other.claim_by_id([middle])
    other.release(held.id, [middle])
    got = []

    done = profiled(lambda: got.extend(bodies(busy.claim(limit=2))))

    assert got == [5, 6]
    # The scan of the free messages was not enough.
    assert [one["op"] for one in done][:2] == ["query", "command"]
    assert bodies(busy.claim(limit=40)) == [*range(7, 40)]


def test_large_messages_are_not_looked_at_before_they_are_wanted(queue, profiled):
    queue.post(*["x" * 60_000] * 20)
    for _ in range(4):
        queue.claim(limit=2)

    done = profiled(lambda: queue.claim(limit=2))

    assert [one["docsExamined"] for one in done if one["op"] == "query"] == [2]
