"""Claiming messages by id, regardless of their place in the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu_pool import errors
from kombu_pool.testing.handles import UNKNOWN_ID, bodies, ids

if TYPE_CHECKING:
    from kombu_pool.testing.backend import Backend
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue
    from kombu_pool.testing.handles import QueueHandle


def test_messages_are_lent_from_the_middle_of_the_line_in_order(queue: QueueHandle) -> None:
    posted = queue.post("a", "b", "c", "d", "e")

    held = queue.claim_by_id([posted[3], posted[1]])

    assert bodies(held) == ["b", "d"]
    assert [message["claim_count"] for message in held.messages] == [1, 1]
    assert {message["claim_id"] for message in held.messages} == {held.id}
    assert queue.claimed_by(held) == ["b", "d"]
    assert queue.free() == ["a", "c", "e"]
    assert bodies(queue.claim()) == ["a", "c", "e"]


def test_a_higher_priority_comes_first(queue: QueueHandle) -> None:
    posted = queue.post("low", "high")[:1] + queue.post("urgent", priority=9)

    assert bodies(queue.claim_by_id(posted)) == ["urgent", "low"]


def test_what_is_not_free_is_not_lent(queue: QueueHandle) -> None:
    claimed, free = queue.post("claimed", "free")
    held = queue.claim(limit=1)
    (delayed,) = queue.post("delayed", delay=100)

    by_id = queue.claim_by_id([claimed, delayed, free, free, UNKNOWN_ID, "nonsense"])

    assert bodies(by_id) == ["free"]
    assert queue.claimed_by(held) == ["claimed"]


def test_what_has_expired_is_not_lent(queue: QueueHandle, clock: ManualClock) -> None:
    posted = queue.post("a", ttl=10)
    clock.advance(10)

    assert queue.claim_by_id(posted) == (None, [])


def test_a_message_of_another_queue_is_not_lent(queue: QueueHandle, queues: MakeQueue) -> None:
    others = queues("other").post("a")

    assert queue.claim_by_id(others) == (None, [])


def test_nothing_to_lend_is_no_claim(queue: QueueHandle, absent: QueueHandle) -> None:
    posted = queue.post("a")
    queue.claim_by_id(posted)

    assert queue.claim_by_id(posted) == (None, [])
    assert queue.claim_by_id([]) == (None, [])
    assert absent.claim_by_id(posted) == (None, [])


def test_a_claim_that_ends_gives_them_back_where_they_stood(queue: QueueHandle, clock: ManualClock) -> None:
    posted = queue.post("a", "b", "c")
    queue.claim_by_id(posted[1:2], ttl=10)
    clock.advance(10)

    held = queue.claim()

    assert bodies(held) == ["a", "b", "c"]
    assert [message["claim_count"] for message in held.messages] == [1, 2, 1]


def test_what_is_released_is_picked_again(queue: QueueHandle) -> None:
    posted = queue.post("a", "b", "c")
    for _ in range(3):
        held = queue.claim_by_id(posted[1:2])
        assert queue.release(held.id, posted[1:2]) == 1

    assert queue.free() == ["a", "b", "c"]
    assert queue.count() == 3
    assert bodies(queue.claim()) == ["a", "b", "c"]
    assert queue.claim() == (None, [])


def test_the_holder_renews_and_deletes(queue: QueueHandle, clock: ManualClock) -> None:
    posted = queue.post("a", "b", ttl=15)
    held = queue.claim_by_id(posted[1:], ttl=10)
    clock.advance(9)
    queue.renew(held.id, ttl=20)
    clock.advance(19)

    assert queue.delete_claimed([(ids(held)[0], held.id)]) == []
    with pytest.raises(errors.ClaimDoesNotExist):
        queue.claim_of(held.id)


def test_a_message_that_would_expire_is_kept_for_its_claim(queue: QueueHandle, clock: ManualClock) -> None:
    posted = queue.post("a", ttl=10)

    held = queue.claim_by_id(posted, ttl=60, grace=5)

    assert held.messages[0]["ttl"] == 65
    clock.advance(59)
    assert queue.claimed_by(held) == ["a"]


def test_one_that_was_lent_too_often_is_lent_all_the_same(queues: MakeQueue, clock: ManualClock) -> None:
    dlq = queues("dlq")
    queue = queues("queue", _max_claim_count=1, _dead_letter_queue="dlq")
    posted = queue.post("a")
    queue.claim(ttl=10)
    clock.advance(10)

    held = queue.claim_by_id(posted)

    assert [message["claim_count"] for message in held.messages] == [2]
    assert dlq.all() == []


def test_one_that_cannot_be_read_is_passed_over(backend: Backend, queue: QueueHandle) -> None:
    posted = queue.post("a", "b")
    backend.corrupt(queue.name, posted[0])

    assert queue.claim_by_id(posted[:1]) == (None, [])
    held = queue.claim_by_id(posted)

    assert bodies(held) == ["b"]
    assert queue.stats()["claimed"] == 1


def test_a_bounded_queue_has_room_for_what_was_picked(queues: MakeQueue) -> None:
    queue = queues("bounded", _max_length=2, _overflow="reject-publish")
    posted = queue.post("a", "b")

    queue.claim_by_id(posted[:1])

    queue.post("c")
    with pytest.raises(errors.QueueIsFull):
        queue.post("d")


def test_two_drivers_never_hold_the_same_message(backend: Backend, queue: QueueHandle) -> None:
    posted = queue.post(*range(50))
    other = backend.another()

    mine = queue.claim_by_id(posted[::2])
    theirs = other.claim_controller.create(queue.name, {"ttl": 60, "grace": 0}, limit=50)[1]

    assert sorted(bodies(mine) + bodies(theirs)) == list(range(50))
