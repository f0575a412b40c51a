"""Messages that reach the delivery limit, and records that cannot be decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu_pool import errors
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.testing.handles import HookCalls, QueueHandle, bodies

if TYPE_CHECKING:
    from kombu_pool.storage import DataDriver
    from kombu_pool.testing.backend import Backend
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue


def claim_and_expire(queue: QueueHandle, clock: ManualClock, times: int) -> None:
    """Claim all messages of the queue, and end the claim by its ttl, that many times."""
    for _ in range(times):
        queue.claim(limit=100, ttl=10)
        clock.advance(10)


@pytest.fixture
def queue(queues: MakeQueue, dlq: QueueHandle) -> QueueHandle:
    """A queue whose messages are claimed at most twice."""
    return queues("queue", _max_claim_count=2, _dead_letter_queue="dlq")


def test_a_message_is_lent_as_often_as_its_queue_allows(
    queue: QueueHandle, dlq: QueueHandle, clock: ManualClock
) -> None:
    queue.post("a")

    for count in (1, 2):
        assert [message["claim_count"] for message in queue.claim(ttl=10).messages] == [count]
        clock.advance(10)

    assert queue.claim() == (None, [])
    assert queue.all() == []
    assert dlq.free() == ["a"]


def test_a_dead_letter_says_where_it_came_from_and_why(
    queue: QueueHandle, dlq: QueueHandle, clock: ManualClock
) -> None:
    queue.post("a")
    claim_and_expire(queue, clock, 2)
    queue.claim()

    dead_letter = dlq.first()["dead_letter"]

    assert (dead_letter["queue"], dead_letter["time"], dead_letter["count"]) == ("queue", clock.time(), 2)
    assert dead_letter["reason"]
    assert isinstance(dead_letter["reason"], str)


def test_a_dead_letter_arrives_whole_and_unclaimed(queue: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    body = {"nested": [b"\x00\xff", None]}
    queue.post(body, priority=7)
    claim_and_expire(queue, clock, 2)
    queue.claim()

    message = dlq.first()

    assert (message["body"], message["priority"]) == (body, 7)
    assert (message["claim_id"], message["claim_count"]) == (None, 0)
    assert message["ttl"] == 0


def test_messages_behind_a_dead_letter_are_lent(queue: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    queue.post("dead")
    claim_and_expire(queue, clock, 2)
    queue.post("b", "c")

    held = queue.claim(limit=2)

    assert bodies(held) == ["b", "c"]
    assert dlq.free() == ["dead"]


def test_dead_letters_arrive_in_order(queue: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", "b", "c")
    claim_and_expire(queue, clock, 2)

    queue.claim()

    assert dlq.free() == ["a", "b", "c"]


def test_released_messages_are_counted_too(queue: QueueHandle, dlq: QueueHandle) -> None:
    queue.post("a")
    for _ in range(2):
        queue.end(queue.claim().id)

    assert queue.claim() == (None, [])
    assert dlq.free() == ["a"]


def test_pop_dead_letters_as_a_claim_does(queue: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    queue.post("dead")
    claim_and_expire(queue, clock, 2)
    queue.post("b")

    assert bodies(queue.pop()) == ["b"]
    assert dlq.free() == ["dead"]


def test_a_dead_letter_can_be_claimed_and_deleted(queue: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    queue.post("a")
    claim_and_expire(queue, clock, 2)
    queue.claim()

    held = dlq.claim()

    assert [message["claim_count"] for message in held.messages] == [1]
    assert dlq.delete_claimed([(held.messages[0]["id"], held.id)]) == []
    assert dlq.all() == []


def test_dead_letters_get_the_ttl_that_the_queue_gives_them(
    queues: MakeQueue, dlq: QueueHandle, clock: ManualClock
) -> None:
    queue = queues("origin", _max_claim_count=1, _dead_letter_queue="dlq", _dead_letter_queue_messages_ttl=100)
    queue.post("endless")
    queue.post("short", ttl=20)
    claim_and_expire(queue, clock, 1)
    queue.claim()

    assert [message["ttl"] for message in dlq.page()[0]] == [100, 100]
    clock.advance(99)
    assert dlq.all() == ["endless", "short"]
    clock.advance(1)
    assert dlq.all() == []


def test_without_a_ttl_for_them_dead_letters_expire_when_they_would_have(
    queue: QueueHandle, dlq: QueueHandle, clock: ManualClock
) -> None:
    queue.post("a", ttl=60)
    claim_and_expire(queue, clock, 2)
    queue.claim()

    clock.advance(39)
    assert dlq.all() == ["a"]
    clock.advance(1)
    assert dlq.all() == []


def test_the_dead_letter_queue_limits_the_ttl_of_its_messages(queues: MakeQueue, clock: ManualClock) -> None:
    dlq = queues("limited dlq", _default_message_ttl=50)
    queue = queues("queue of it", _max_claim_count=1, _dead_letter_queue="limited dlq")
    queue.post("endless")
    queue.post("long", ttl=500)
    queue.post("short", ttl=30)
    claim_and_expire(queue, clock, 1)
    queue.claim()

    clock.advance(19)
    assert dlq.all() == ["endless", "long", "short"]
    clock.advance(1)
    assert dlq.all() == ["endless", "long"]
    clock.advance(30)
    assert dlq.all() == []


def test_a_limit_without_dead_letter_queue_limits_nothing(queues: MakeQueue, clock: ManualClock) -> None:
    queue = queues("unlimited", _max_claim_count=1)
    queue.post("a")
    claim_and_expire(queue, clock, 5)

    assert bodies(queue.claim()) == ["a"]


def test_a_dead_letter_queue_without_limit_takes_nothing(
    queues: MakeQueue, dlq: QueueHandle, clock: ManualClock
) -> None:
    queue = queues("unlimited", _dead_letter_queue="dlq")
    queue.post("a")
    claim_and_expire(queue, clock, 5)

    assert bodies(queue.claim()) == ["a"]
    assert dlq.all() == []


def test_a_dead_letter_queue_that_does_not_exist_loses_nothing(queues: MakeQueue, clock: ManualClock) -> None:
    queue = queues("queue without dlq", _max_claim_count=1, _dead_letter_queue="nowhere")
    queue.post("a", "b")
    claim_and_expire(queue, clock, 3)

    held = queue.claim()

    assert bodies(held) == ["a", "b"]
    assert [message["claim_count"] for message in held.messages] == [4, 4]


def test_a_dead_letter_queue_may_be_created_later(queues: MakeQueue, driver: DataDriver, clock: ManualClock) -> None:
    queue = queues("early", _max_claim_count=1, _dead_letter_queue="late")
    queue.post("a")
    claim_and_expire(queue, clock, 2)

    late = queues("late")

    assert queue.claim() == (None, [])
    assert late.free() == ["a"]


def test_a_dead_letter_goes_to_a_queue_of_its_own_project(
    queues: MakeQueue, dlq: QueueHandle, clock: ManualClock
) -> None:
    theirs = queues("dlq", "project")
    queue = queues("queue", "project", _max_claim_count=1, _dead_letter_queue="dlq")
    queue.post("a")
    claim_and_expire(queue, clock, 1)
    queue.claim()

    assert theirs.free() == ["a"]
    assert dlq.free() == []


def test_a_dead_letter_queue_may_dead_letter_in_turn(queues: MakeQueue, dlq: QueueHandle, clock: ManualClock) -> None:
    middle = queues("middle", _max_claim_count=1, _dead_letter_queue="dlq")
    queue = queues("start", _max_claim_count=1, _dead_letter_queue="middle")
    queue.post("a")
    claim_and_expire(queue, clock, 1)
    queue.claim()
    claim_and_expire(middle, clock, 1)
    middle.claim()

    assert dlq.free() == ["a"]
    assert dlq.first()["dead_letter"]["queue"] == "middle"


def test_the_limit_of_today_counts(
    queue: QueueHandle, dlq: QueueHandle, clock: ManualClock, driver: DataDriver
) -> None:
    queue.post("a")
    claim_and_expire(queue, clock, 2)
    driver.queue_controller.set_metadata("queue", {"_max_claim_count": 5, "_dead_letter_queue": "dlq"})

    assert bodies(queue.claim()) == ["a"]


def test_a_dead_letter_reaches_a_queue_of_another_pool(backend: Backend, queues: MakeQueue, clock: ManualClock) -> None:
    backend.place("here", 0)
    backend.place("there", 1)
    there = queues("there")
    here = queues("here", _max_claim_count=1, _dead_letter_queue="there", _dead_letter_queue_messages_ttl=50)
    here.post({"body": b"\x00"}, priority=4)
    here.post("b")
    claim_and_expire(here, clock, 1)
    here.post("c")

    assert bodies(here.claim()) == ["c"]
    assert here.all() == ["c"]
    message = there.first()
    assert (message["body"], message["priority"], message["ttl"]) == ({"body": b"\x00"}, 4, 50)
    assert (message["dead_letter"]["queue"], message["dead_letter"]["count"]) == ("here", 1)
    assert there.all() == [{"body": b"\x00"}, "b"]


def test_a_dead_letter_that_no_queue_takes_is_claimed_in_its_place(
    backend: Backend, queues: MakeQueue, clock: ManualClock
) -> None:
    backend.place("here", 0)
    here = queues("here", _max_claim_count=1, _dead_letter_queue="nowhere")
    here.post("a", "b")
    claim_and_expire(here, clock, 1)
    here.post("c")

    assert bodies(here.claim(limit=2)) == ["a", "b"]
    assert here.free() == ["c"]


# Dead letters that a store hands to its hooks.


def limited(leaf: Backend) -> QueueHandle:
    queue = QueueHandle(leaf.driver, "queue", "p")
    queue.create(_max_claim_count=1, _dead_letter_queue="elsewhere")
    return queue


def test_a_letter_for_another_store_is_handed_over(leaf: Backend, clock: ManualClock) -> None:
    leaf.driver.dead_letter_hooks.forward = forwarded = HookCalls()
    queue = limited(leaf)
    queue.post("a", ttl=100)
    claim_and_expire(queue, clock, 1)

    assert queue.claim() == (None, [])
    ((project, name, message),) = forwarded
    assert (project, name, message["body"]) == ("p", "elsewhere", "a")
    assert message["ttl"] == 90
    assert message["dead_letter"]["queue"] == "queue"
    assert queue.all() == []


def test_a_letter_that_is_refused_is_lent(leaf: Backend, clock: ManualClock) -> None:
    leaf.driver.dead_letter_hooks.forward = forward = HookCalls()
    forward.answer = False
    queue = limited(leaf)
    queue.post("a")
    claim_and_expire(queue, clock, 1)

    assert [message["claim_count"] for message in queue.claim().messages] == [2]


def test_a_letter_for_a_queue_of_this_store_is_not_handed_over(leaf: Backend, clock: ManualClock) -> None:
    leaf.driver.dead_letter_hooks.forward = forwarded = HookCalls()
    queue = limited(leaf)
    elsewhere = QueueHandle(leaf.driver, "elsewhere", "p")
    elsewhere.create()
    queue.post("a")
    claim_and_expire(queue, clock, 1)
    queue.claim()

    assert forwarded == []
    assert elsewhere.free() == ["a"]


# Records that cannot be decoded.


def test_an_unreadable_record_is_set_aside(backend: Backend, queues: MakeQueue) -> None:
    queue = queues("queue without dlq")
    queue.post("a")
    backend.corrupt(queue.name, *queue.post("b"))
    queue.post("c")

    assert bodies(queue.claim()) == ["a", "c"]
    (message,) = QueueHandle(backend.driver, UNREADABLE_QUEUE, None).page()[0]
    assert message["body"]["record"] == b"\xc1"
    assert message["body"]["error"]
    assert message["dead_letter"]["queue"] == queue.name
    assert (message["claim_id"], message["claim_count"]) == (None, 0)


def test_an_unreadable_record_goes_to_the_dead_letter_queue_if_there_is_one(
    backend: Backend, queue: QueueHandle, dlq: QueueHandle
) -> None:
    backend.corrupt(queue.name, *queue.post("a"))
    queue.post("b")

    assert bodies(queue.claim(limit=1)) == ["b"]
    assert [body["record"] for body in dlq.free()] == [b"\xc1"]
    assert queue.free() == []


def test_an_unreadable_record_that_was_lent_often_is_set_aside_too(
    backend: Backend, queue: QueueHandle, dlq: QueueHandle, clock: ManualClock
) -> None:
    (message_id,) = queue.post("a")
    claim_and_expire(queue, clock, 2)
    backend.corrupt(queue.name, message_id)

    assert queue.claim() == (None, [])
    assert [body["record"] for body in dlq.free()] == [b"\xc1"]


def test_an_unreadable_record_does_not_stop_a_pop(backend: Backend, queues: MakeQueue) -> None:
    queue = queues("queue without dlq")
    backend.corrupt(queue.name, *queue.post("a"))
    queue.post("b")

    assert bodies(queue.pop()) == ["b"]
    assert queue.all() == []


def test_only_an_unreadable_record_is_nothing_to_claim(backend: Backend, queues: MakeQueue) -> None:
    queue = queues("queue without dlq")
    backend.corrupt(queue.name, *queue.post("a"))

    assert queue.claim() == (None, [])
    assert queue.claim() == (None, [])


def test_reading_an_unreadable_record_says_so(backend: Backend, queue: QueueHandle) -> None:
    (message_id,) = queue.post("a")
    backend.corrupt(queue.name, message_id)

    with pytest.raises(errors.CorruptRecord) as raised:
        queue.get(message_id)

    assert raised.value.reason


def test_an_unreadable_record_can_be_deleted(backend: Backend, queue: QueueHandle) -> None:
    (message_id,) = queue.post("a")
    backend.corrupt(queue.name, message_id)

    queue.delete(message_id)

    assert queue.stats()["total"] == 0
