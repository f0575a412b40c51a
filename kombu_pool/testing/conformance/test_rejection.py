"""Rejected messages: dead-lettered, or deleted where the queue has no dead-letter target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu_pool import errors
from kombu_pool.testing.handles import dead_letters

if TYPE_CHECKING:
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue
    from kombu_pool.testing.handles import QueueHandle


def test_what_is_rejected_is_dead_lettered(origin: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    origin.post("a", "b", priority=3)

    assert origin.reject(origin.claim(limit=1)) == []

    assert dead_letters(dlq) == [("a", "rejected", 1)]
    message = dlq.first()
    assert (message["dead_letter"]["queue"], message["dead_letter"]["time"]) == ("origin", clock.time())
    assert (message["claim_id"], message["claim_count"], message["priority"]) == (None, 0, 3)
    assert origin.all() == ["b"]


def test_what_is_rejected_is_gone_where_nothing_takes_dead_letters(queues: MakeQueue) -> None:
    queue = queues("queue")
    queue.post("a")

    assert queue.reject(queue.claim()) == []
    assert queue.all() == []


def test_what_is_rejected_is_gone_if_its_dead_letter_queue_is_nowhere(queues: MakeQueue) -> None:
    queue = queues("queue", _dead_letter_queue="nowhere")
    queue.post("a")

    assert queue.reject(queue.claim()) == []
    assert queue.all() == []
    assert queue.driver.dead_letter_all() == 0


def test_only_the_holder_rejects(origin: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    origin.post("a")
    late = origin.claim(ttl=10)
    clock.advance(10)
    held = origin.claim()
    pairs = [(message["id"], late.id) for message in late.messages]

    assert origin.reject(late) == pairs
    assert dlq.all() == []
    assert origin.claimed_by(held) == ["a"]


def test_rejecting_many_keeps_their_order(origin: QueueHandle, dlq: QueueHandle) -> None:
    origin.post(*range(20))

    assert origin.reject(origin.claim(limit=20)) == []
    assert dlq.free() == list(range(20))


def test_a_claim_ends_with_the_rejection_of_its_last_message(origin: QueueHandle) -> None:
    origin.post("a")
    held = origin.claim()
    origin.reject(held)

    with pytest.raises(errors.ClaimDoesNotExist):
        origin.claim_of(held.id)


def test_rejecting_in_an_absent_queue_refuses_all(absent: QueueHandle) -> None:
    pairs = [("0123456789abcdef", "0123456789abcdef")]

    assert absent.driver.message_controller.reject("absent", pairs) == pairs


def test_a_dead_letter_names_the_reason_of_its_rejection(origin: QueueHandle, dlq: QueueHandle) -> None:
    origin.post("a")

    assert origin.reject(origin.claim(), reason="expired") == []
    assert dead_letters(dlq) == [("a", "expired", 1)]
