"""The ttl of a delayed and of a claimed message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool.model import Age
from kombu_pool.testing.handles import bodies

if TYPE_CHECKING:
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue
    from kombu_pool.testing.handles import QueueHandle

# Zaqar's examples for messages of ttl 120: the claim's ttl, its grace, and the messages' ttl afterwards.
LIVES = [(777, 0, 777), (777, 23, 800), (121, 22, 143), (60, 30, 120)]


@pytest.mark.parametrize(("ttl", "grace", "expected"), LIVES)
def test_a_message_outlives_its_claim(
    queue: QueueHandle, clock: ManualClock, ttl: Any, grace: float, expected: Any
) -> None:
    (message_id,) = queue.post("a", ttl=120)

    held = queue.claim(ttl=ttl, grace=grace)

    assert held.messages[0]["ttl"] == expected
    assert queue.get(message_id)["ttl"] == expected
    clock.advance(expected - 1)
    assert queue.all() == ["a"]
    clock.advance(1)
    assert queue.all() == []


@pytest.mark.parametrize(("ttl", "grace", "expected"), LIVES)
def test_a_message_outlives_its_renewed_claim(
    queue: QueueHandle, clock: ManualClock, ttl: Any, grace: float, expected: Any
) -> None:
    (message_id,) = queue.post("a", ttl=120)
    held = queue.claim(ttl=10)

    queue.renew(held.id, ttl=ttl, grace=grace)

    assert queue.get(message_id)["ttl"] == expected
    clock.advance(expected - 1)
    assert queue.all() == ["a"]
    clock.advance(1)
    assert queue.all() == []


def test_a_claim_does_not_limit_a_message_without_ttl(queue: QueueHandle) -> None:
    queue.post("a")

    assert queue.claim(ttl=60, grace=60).messages[0]["ttl"] == 0


def test_a_message_does_not_expire_while_it_is_claimed(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", ttl=10)
    held = queue.claim(ttl=60, grace=5)
    clock.advance(59)

    assert queue.claimed_by(held) == ["a"]
    clock.advance(1)
    assert queue.free() == ["a"]
    clock.advance(5)
    assert queue.all() == []


def test_ending_a_claim_early_leaves_the_longer_life(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", ttl=10)
    held = queue.claim(ttl=60, grace=5)
    queue.end(held.id)
    clock.advance(64)

    assert queue.free() == ["a"]


def test_renewal_with_grace_lets_a_message_outlive_the_new_end(queue: QueueHandle, clock: ManualClock) -> None:
    (message_id,) = queue.post("a", ttl=10)
    held = queue.claim(ttl=60)
    clock.advance(30)

    queue.renew(held.id, ttl=60, grace=7)

    assert queue.get(message_id)["ttl"] == 67
    clock.advance(66)
    assert queue.all() == ["a"]
    clock.advance(1)
    assert queue.all() == []


def test_each_message_of_a_claim_is_prolonged_by_itself(queue: QueueHandle) -> None:
    short, long, endless = *queue.post("short", ttl=10), *queue.post("long", ttl=900), *queue.post("endless")

    queue.claim(ttl=60, grace=5)

    assert [queue.get(message_id)["ttl"] for message_id in (short, long, endless)] == [65, 900, 0]


def test_a_message_that_expires_with_its_claim_is_not_prolonged(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", ttl=60)

    assert queue.claim(ttl=60, grace=30).messages[0]["ttl"] == 60
    clock.advance(60)
    assert queue.all() == []


def test_the_ttl_of_a_queue_counts_from_the_end_of_a_delay(queues: MakeQueue, clock: ManualClock) -> None:
    queue = queues("limited", _default_message_ttl=20)
    posted = [
        *queue.post("none", delay=100),
        *queue.post("long", delay=100, ttl=500),
        *queue.post("within", delay=100, ttl=110),
    ]

    assert [queue.get(message_id)["ttl"] for message_id in posted] == [120, 120, 110]
    clock.advance(109)
    assert queue.free() == ["none", "long", "within"]
    clock.advance(1)
    assert queue.free() == ["none", "long"]
    clock.advance(10)
    assert queue.all() == []


def test_the_ttl_of_a_queue_counts_from_the_end_of_its_own_delay(queues: MakeQueue, clock: ManualClock) -> None:
    queue = queues("limited", _default_message_ttl=20, _default_message_delay=100)
    queue.post("delayed")
    queue.post("at once", delay=0)
    clock.advance(20)

    assert queue.all() == ["delayed"]
    clock.advance(99)
    assert bodies(queue.claim()) == ["delayed"]


def test_a_delayed_message_is_not_dead_lettered_before_it_is_free(
    queues: MakeQueue, dlq: QueueHandle, clock: ManualClock
) -> None:
    queue = queues("brief", _default_message_ttl=20, _dead_letter_queue="dlq", _dead_letter_expired=True)
    queue.post("a", delay=100)
    clock.advance(119)

    assert queue.driver.dead_letter_all() == 0
    assert queue.free() == ["a"]
    clock.advance(1)
    assert queue.driver.dead_letter_all() == 1
    assert dlq.free() == ["a"]


def test_a_young_message_that_expires_shows_its_exact_age(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", ttl=60)
    clock.advance(1.25)

    age = queue.claim().messages[0]["age"]

    assert age == 1
    assert isinstance(age, Age)
    assert age.exact == pytest.approx(1.25, abs=0.001)
