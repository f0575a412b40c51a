"""A post that is repeated with its idempotency key is stored once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool.errors import QueueDoesNotExist, QueueIsFull
from kombu_pool.model import IdempotencyKey
from kombu_pool.storage import IDEMPOTENCY_WINDOW
from kombu_pool.testing.handles import QueueHandle, bodies, ids

if TYPE_CHECKING:
    from kombu_pool.testing.backend import Backend
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue

PRODUCER, OTHER = b"client-1" * 2, b"client-2" * 2
FIRST = IdempotencyKey(PRODUCER, 1)


def consume_all(queue: QueueHandle) -> list[Any]:
    """Claim and delete the free messages, and return their bodies."""
    held = queue.claim()
    assert queue.delete_claimed([(message, held.id) for message in ids(held)]) == []
    return bodies(held)


def test_a_post_that_is_made_again_is_stored_once_and_returns_the_same_ids(queue: QueueHandle) -> None:
    first = queue.post("a", idempotency_key=FIRST)

    again = queue.post("a", idempotency_key=FIRST)

    assert again == first
    assert queue.all() == ["a"]


def test_it_is_known_when_its_message_was_consumed_meanwhile(queue: QueueHandle) -> None:
    first = queue.post("a", idempotency_key=FIRST)
    assert consume_all(queue) == ["a"]

    again = queue.post("a", idempotency_key=FIRST)

    assert again == first
    assert queue.all() == []


def test_it_is_known_while_its_message_is_claimed(queue: QueueHandle) -> None:
    queue.post("a", idempotency_key=FIRST)
    queue.claim()

    queue.post("a", idempotency_key=FIRST)

    assert queue.free() == []
    assert queue.all() == ["a"]


@pytest.mark.parametrize("count", [2, 250])
def test_a_post_of_many_messages_is_known_as_a_whole(queue: QueueHandle, count: int) -> None:
    many = list(range(count))
    first = queue.post(*many, idempotency_key=FIRST)
    queue.delete_all(first[:1])

    again = queue.post(*many, idempotency_key=FIRST)

    assert again == first
    assert queue.all() == many[1:]


def test_delay_ttl_and_priority_change_nothing_of_that(queue: QueueHandle, clock: ManualClock) -> None:
    first = queue.post("a", "b", idempotency_key=FIRST, delay=5, ttl=60, priority=7)

    again = queue.post("a", "b", idempotency_key=FIRST, delay=3, ttl=60, priority=7)
    clock.advance(6)

    assert again == first
    assert queue.free() == ["a", "b"]


def test_the_next_number_is_another_post(queue: QueueHandle) -> None:
    first = queue.post("a", idempotency_key=FIRST)

    second = queue.post("a", idempotency_key=IdempotencyKey(PRODUCER, 2))

    assert first != second
    assert queue.all() == ["a", "a"]


def test_the_last_of_many_posts_is_known(queue: QueueHandle) -> None:
    for number in range(1, 6):
        last = queue.post(number, idempotency_key=IdempotencyKey(PRODUCER, number))

    assert queue.post(5, idempotency_key=IdempotencyKey(PRODUCER, 5)) == last
    assert queue.all() == [1, 2, 3, 4, 5]


def test_another_poster_makes_another_post(queue: QueueHandle) -> None:
    queue.post("a", idempotency_key=FIRST)

    queue.post("a", idempotency_key=IdempotencyKey(OTHER, 1))

    assert queue.post("a", idempotency_key=FIRST)
    assert queue.all() == ["a", "a"]


def test_without_a_ticket_every_post_is_another_one(queue: QueueHandle) -> None:
    queue.post("a", idempotency_key=FIRST)

    queue.post("a")
    queue.post("a")

    assert queue.all() == ["a", "a", "a"]


def test_every_queue_of_every_project_has_tickets_of_its_own(queues: MakeQueue) -> None:
    several = [queues("q"), queues("r"), queues("q", "p"), queues("q", "")]
    for queue in several:
        queue.post("a", idempotency_key=FIRST)

    for queue in several:
        queue.post("a", idempotency_key=FIRST)

    assert [queue.all() for queue in several] == [["a"]] * 4


def test_other_drivers_of_the_store_know_it(queue: QueueHandle, backend: Backend) -> None:
    there = QueueHandle(backend.another(), queue.name, queue.project)
    first = queue.post("a", idempotency_key=FIRST)
    consume_all(there)

    assert there.post("a", idempotency_key=FIRST) == first
    assert queue.all() == []


def test_it_is_known_for_as_long_as_is_promised(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", idempotency_key=FIRST)
    consume_all(queue)
    clock.advance(IDEMPOTENCY_WINDOW - 1)
    queue.driver.gc()

    queue.post("a", idempotency_key=FIRST)

    assert queue.all() == []


def test_a_queue_that_is_made_anew_knows_nothing_of_it(queue: QueueHandle) -> None:
    queue.post("a", idempotency_key=FIRST)
    queue.drop()
    queue.create()

    queue.post("a", idempotency_key=FIRST)

    assert queue.all() == ["a"]


def test_a_post_that_was_refused_was_not_made(absent: QueueHandle) -> None:
    with pytest.raises(QueueDoesNotExist):
        absent.post("a", idempotency_key=FIRST)
    absent.create()

    absent.post("a", idempotency_key=FIRST)

    assert absent.all() == ["a"]


def test_a_full_queue_knows_it_and_does_not_refuse_it(queues: MakeQueue) -> None:
    queue = queues("q", _max_length=2, _overflow="reject-publish")
    first = queue.post("a", "b", idempotency_key=FIRST)
    with pytest.raises(QueueIsFull):
        queue.post("c", idempotency_key=IdempotencyKey(PRODUCER, 2))

    again = queue.post("a", "b", idempotency_key=FIRST)

    assert again == first
    assert queue.all() == ["a", "b"]


def test_what_a_full_queue_refused_is_stored_once_there_is_room(queues: MakeQueue) -> None:
    queue = queues("q", _max_length=1, _overflow="reject-publish")
    queue.post("a")
    with pytest.raises(QueueIsFull):
        queue.post("b", idempotency_key=FIRST)
    queue.pop()

    queue.post("b", idempotency_key=FIRST)
    queue.post("b", idempotency_key=FIRST)

    assert queue.all() == ["b"]


def test_a_post_that_made_room_makes_none_when_it_is_made_again(queues: MakeQueue) -> None:
    queue = queues("q", _max_length=2)
    queue.post("a", "b")
    first = queue.post("c", idempotency_key=FIRST)

    again = queue.post("c", idempotency_key=FIRST)

    assert again == first
    assert queue.all() == ["b", "c"]


def test_a_queue_that_buries_what_expires_knows_it(queues: MakeQueue) -> None:
    queues("dead")
    queue = queues("q", _dead_letter_queue="dead", _dead_letter_expired=True)
    first = queue.post("a", ttl=60, idempotency_key=FIRST)
    consume_all(queue)

    again = queue.post("a", ttl=60, idempotency_key=FIRST)

    assert again == first
    assert queue.all() == []
