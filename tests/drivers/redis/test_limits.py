"""Queues with a max length: a sorted set counts their messages, and a stored sum their bytes."""

from __future__ import annotations

import pytest

from kombu_pool import errors
from kombu_pool.drivers.redis.keys import queue_keys
from kombu_pool.testing import ManualClock, QueueHandle, ids

KEYS = queue_keys("kombu-pool", None, "q")
#: Bytes before the body in each record.
FIXED_BYTES = 19


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def bounded(uri, open_queue, clock):
    """Create a queue with this metadata: ``bounded(_max_length=2)``."""

    def make(**metadata):
        return open_queue(uri, metadata=metadata, clock=clock)

    return make


def free_bytes(client):
    return int(client.hget(KEYS.queue, "free_bytes"))


def counted_bytes(client):
    """Return the bytes of the free messages, counted one by one."""
    return sum(client.hstrlen(KEYS.records, message) - FIXED_BYTES for message in client.zrange(KEYS.free, 0, -1))


def test_the_weight_is_that_of_the_free_messages_whatever_is_done_to_them(client, bounded, clock):
    queue = bounded(_max_length_bytes=10**6, _dead_letter_queue="q", _dead_letter_expired=True, _max_claim_count=3)
    seen = []

    def check():
        assert free_bytes(client) == counted_bytes(client)
        seen.append(free_bytes(client))

    queue.post(*[b"x" * size for size in range(20)], ttl=1000)
    check()
    queue.post("short-lived" * 10, ttl=5)
    queue.post("later" * 10, delay=5)
    check()
    held = queue.claim(limit=6, ttl=10)
    check()
    queue.release(held.id, ids(held)[:2])
    check()
    queue.delete_claimed([(ids(held)[2], held.id)])
    check()
    queue.delete(ids(held)[0])
    queue.delete_all(ids(held)[3:4])
    check()
    clock.advance(5)
    queue.count()
    check()
    queue.driver.dead_letter_all()
    check()
    clock.advance(5)
    queue.count()
    check()
    queue.reject(queue.claim(limit=3))
    check()
    queue.pop(2)
    check()
    for _ in range(3):
        queue.end(queue.claim(limit=2).id)
    queue.claim(limit=1)
    check()
    held = queue.claim(limit=2)
    queue.purge()
    check()
    queue.end(held.id)
    check()

    assert len({*seen}) > 10


def test_a_bound_that_comes_later_weighs_what_is_there(client, bounded):
    queue = bounded()
    queue.post(*[bytes(100)] * 2500, client=None)
    queue.driver.queue_controller.set_metadata("q", {"_max_length_bytes": 102 * 5})

    queue.post(b"y" * 100, client=None)

    assert queue.count() == 5
    assert free_bytes(client) == counted_bytes(client) == 510


def test_a_bound_that_goes_leaves_nothing_behind(client, bounded):
    queue = bounded(_max_length_bytes=1000)
    queue.post("a")
    queue.driver.queue_controller.set_metadata("q", {})
    queue.post("b")

    assert client.hmget(KEYS.queue, "free_bytes", "bounded") == [None, None]
    assert queue.free() == ["a", "b"]


def test_a_long_queue_is_short_after_the_first_post_that_finds_it_bounded(uri, open_queue, bounded):
    dead = open_queue(uri, "dead")
    queue = bounded()
    queue.post(*range(3000))
    queue.driver.queue_controller.set_metadata("q", {"_max_length": 10, "_dead_letter_queue": "dead"})

    queue.post(3000)

    assert queue.free() == [*range(2991, 3001)]
    assert dead.free() == [*range(2991)]


def test_a_refusal_drops_nothing_of_a_queue_that_is_longer_than_it_may_be(bounded):
    queue = bounded(_max_length=2, _overflow="reject-publish")
    queue.post("a", "b")
    held = queue.claim()
    queue.post("c", "d")
    queue.end(held.id)

    with pytest.raises(errors.QueueIsFull):
        queue.post("e")
    queue.post("later", delay=60)

    assert queue.free() == ["a", "b", "c", "d"]


def test_dead_letters_make_room_for_each_other(uri, open_queue, bounded):
    dead = open_queue(uri, "dead", metadata={"_max_length": 3})
    queue = bounded(_dead_letter_queue="dead")
    queue.post(*range(10))

    queue.reject(queue.claim())

    assert dead.free() == [7, 8, 9]


def test_the_first_post_to_a_bounded_queue_asks_once_more(uri, bounded, open_driver, commands):
    queue = bounded(_max_length=2)
    other = QueueHandle(open_driver(uri), "q", None)
    for _ in range(2):
        queue.post("a")
        other.post("a")

    ran = commands(lambda: other.post("b"))

    assert [line.command[0] for line in ran if not line.by_script] == [b"EVALSHA"]
