"""Dead letters that go to an exchange or to a queue of another pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu_pool import errors
from kombu_pool.testing.handles import HookCalls, dead_letters

if TYPE_CHECKING:
    from kombu_pool.testing.backend import Backend
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue
    from kombu_pool.testing.handles import QueueHandle


@pytest.fixture
def published(backend: Backend) -> HookCalls:
    backend.driver.dead_letter_hooks.publish = calls = HookCalls()
    return calls


@pytest.fixture
def routed(queues: MakeQueue, published: HookCalls) -> QueueHandle:
    """A queue whose dead letters go to an exchange."""
    return queues(
        "routed",
        "p",
        _dead_letter_exchange="exchange",
        _dead_letter_routing_key="key",
        _dead_letter_expired=True,
        _max_claim_count=1,
        _max_length=3,
    )


def test_a_dead_letter_may_be_published(routed: QueueHandle, published: HookCalls, clock: ManualClock) -> None:
    routed.post({"a": b"\x00"}, ttl=100, priority=5)
    clock.advance(100)

    assert routed.driver.dead_letter_all() == 1

    ((project, exchange, routing_key, message),) = published
    assert (project, exchange, routing_key) == ("p", "exchange", "key")
    assert (message["body"], message["priority"], message["ttl"]) == ({"a": b"\x00"}, 5, None)
    assert message["dead_letter"] == {"queue": "routed", "reason": "expired", "time": clock.time(), "count": 0}
    assert routed.driver.dead_letter_all() == 0


def test_each_kind_of_dead_letter_is_published(routed: QueueHandle, published: HookCalls, clock: ManualClock) -> None:
    routed.post("claimed")
    routed.claim(ttl=10)
    clock.advance(10)
    routed.claim()
    routed.post("rejected")
    routed.reject(routed.claim())
    routed.post("overflowed", "b", "c", "d")
    routed.purge()
    routed.post("expired", ttl=10)
    clock.advance(10)
    routed.claim()

    assert [(dead_letter[3]["body"], dead_letter[3]["dead_letter"]["reason"]) for dead_letter in published] == [
        ("claimed", "max_claim_count"),
        ("rejected", "rejected"),
        ("overflowed", "maxlen"),
        ("expired", "expired"),
    ]


def test_a_dead_letter_without_a_routing_key_keeps_its_own(queues: MakeQueue, published: HookCalls) -> None:
    queue = queues("plain", _dead_letter_exchange="")
    queue.post("a")
    queue.reject(queue.claim())

    assert [dead_letter[:3] for dead_letter in published] == [(None, "", None)]


def test_what_is_out_of_reach_is_tried_again(
    backend: Backend, routed: QueueHandle, published: HookCalls, clock: ManualClock
) -> None:
    published.answer = errors.PoolUnavailable("pool", "down")
    routed.post("a", ttl=10)
    clock.advance(10)

    assert routed.driver.dead_letter_all() == 0
    assert routed.all() == []
    published.answer = True
    assert routed.driver.dead_letter_all() == 1
    assert [dead_letter[3]["body"] for dead_letter in published] == ["a", "a"]


def test_what_nobody_takes_is_gone(routed: QueueHandle, published: HookCalls) -> None:
    published.answer = False
    routed.post("a")

    assert routed.reject(routed.claim()) == []
    assert routed.driver.dead_letter_all() == 0
    assert routed.all() == []


def test_what_was_claimed_too_often_is_claimed_if_no_queue_takes_it(
    backend: Backend, routed: QueueHandle, published: HookCalls, clock: ManualClock
) -> None:
    published.answer = False
    routed.post("a")
    routed.claim(ttl=10)
    clock.advance(10)

    assert [message["claim_count"] for message in routed.claim().messages] == [2]


def test_without_a_publisher_a_dead_letter_waits(backend: Backend, queues: MakeQueue, clock: ManualClock) -> None:
    queue = queues("routed", _dead_letter_exchange="exchange")
    queue.post("a")

    assert queue.reject(queue.claim()) == []
    assert queue.driver.dead_letter_all() == 0
    backend.driver.dead_letter_hooks.publish = seen = HookCalls()
    assert queue.driver.dead_letter_all() == 1
    assert seen[0][3]["body"] == "a"


def test_a_rejected_message_reaches_a_queue_of_another_pool(backend: Backend, queues: MakeQueue) -> None:
    backend.place("here", 0)
    backend.place("there", 1)
    there = queues("there")
    here = queues("here", _dead_letter_queue="there")
    here.post("a", "b")
    here.reject(here.claim())

    assert dead_letters(there) == [("a", "rejected", 1), ("b", "rejected", 1)]
    assert here.all() == []


def test_another_driver_buries_what_its_owner_left(backend: Backend, queues: MakeQueue) -> None:
    queue = queues("routed", _dead_letter_exchange="exchange")
    queue.post("a")
    queue.reject(queue.claim())
    other = backend.another()
    other.dead_letter_hooks.publish = seen = HookCalls()

    assert other.dead_letter_all() == 1
    assert [dead_letter[3]["body"] for dead_letter in seen] == ["a"]
