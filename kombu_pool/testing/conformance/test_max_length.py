"""Queues with a maximum length: a post drops the head of the queue, or is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu_pool import errors
from kombu_pool.testing.handles import dead_letters

if TYPE_CHECKING:
    from kombu_pool.testing.fixtures import MakeQueue
    from kombu_pool.testing.handles import QueueHandle


def test_the_first_in_line_make_room(queues: MakeQueue) -> None:
    queue = queues("short", _max_length=3)
    queue.post("a", "b")
    queue.post("c", "d")

    assert queue.free() == ["b", "c", "d"]


def test_a_post_of_more_than_there_is_room_for_leaves_its_last(queues: MakeQueue) -> None:
    queue = queues("short", _max_length=2)
    ids = queue.post(*range(5))

    assert len(set(ids)) == 5
    assert queue.free() == [3, 4]


def test_what_makes_room_is_dead_lettered(queues: MakeQueue, dlq: QueueHandle) -> None:
    queue = queues("short", _max_length=1, _dead_letter_queue="dlq")
    queue.post("a")
    queue.post("b", "c")

    assert queue.free() == ["c"]
    assert dead_letters(dlq) == [("a", "maxlen", 0), ("b", "maxlen", 0)]


def test_only_free_messages_take_room(queues: MakeQueue) -> None:
    queue = queues("short", _max_length=2)
    queue.post("claimed")
    queue.claim()
    queue.post("delayed", delay=60)
    queue.post("a", "b")

    assert queue.free() == ["a", "b"]
    assert sorted(queue.all()) == ["a", "b", "claimed", "delayed"]


def test_bytes_are_counted_too(queues: MakeQueue) -> None:
    queue = queues("small", _max_length_bytes=300)
    for number in range(5):
        queue.post(bytes([number]) * 100)

    assert 1 <= len(queue.free()) <= 3
    assert queue.free()[-1] == bytes([4]) * 100


def test_a_message_that_is_too_big_for_its_queue_does_not_stay(queues: MakeQueue) -> None:
    queue = queues("small", _max_length_bytes=300)
    queue.post(b"x" * 400)

    assert queue.all() == []


def test_a_full_queue_may_refuse(queues: MakeQueue) -> None:
    queue = queues("strict", _max_length=2, _overflow="reject-publish")
    queue.post("a")

    with pytest.raises(errors.QueueIsFull) as raised:
        queue.post("b", "c")

    assert (raised.value.queue, raised.value.project) == ("strict", None)
    assert queue.all() == ["a"]
    queue.post("b")
    queue.pop(1)
    queue.post("c")
    assert queue.free() == ["b", "c"]


def test_a_full_queue_may_refuse_by_its_bytes(queues: MakeQueue) -> None:
    queue = queues("strict", _max_length_bytes=300, _overflow="reject-publish")
    queue.post(b"a" * 200)

    with pytest.raises(errors.QueueIsFull):
        queue.post(b"b" * 200)

    assert queue.count() == 1


def test_what_refuses_still_takes_what_is_delayed(queues: MakeQueue) -> None:
    queue = queues("strict", _max_length=1, _overflow="reject-publish")
    queue.post("a")
    queue.post("later", delay=60)

    assert sorted(queue.all()) == ["a", "later"]


def test_the_length_of_today_counts(queues: MakeQueue) -> None:
    queue = queues("short")
    queue.post(*range(5))
    queue.driver.queue_controller.set_metadata("short", {"_max_length": 2})
    queue.post(5)

    assert queue.free() == [4, 5]
