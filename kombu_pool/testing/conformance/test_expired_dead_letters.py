"""Expired messages of a queue that dead-letters them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.testing.handles import QueueHandle, bodies, dead_letters

if TYPE_CHECKING:
    from kombu_pool.testing.backend import Backend
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue

#: Seconds within which every store wakes a watch.
LIMIT = 60.0


def test_what_expires_is_dead_lettered(origin: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    origin.post("a", ttl=10)
    origin.post("b")
    clock.advance(10)

    assert origin.all() == ["b"]
    assert origin.stats()["total"] == 1
    assert origin.driver.dead_letter_all() == 1

    assert dead_letters(dlq) == [("a", "expired", 0)]
    assert dlq.first()["ttl"] == 0
    assert origin.driver.dead_letter_all() == 0


def test_a_claim_buries_what_expired(origin: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    origin.post("a", ttl=10)
    origin.post("b")
    clock.advance(10)

    assert bodies(origin.claim()) == ["b"]
    assert dlq.free() == ["a"]


def test_an_empty_claim_buries_what_expired(origin: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    origin.post("a", ttl=10)
    clock.advance(10)

    assert origin.claim() == (None, [])
    assert dlq.free() == ["a"]


def test_what_expired_first_is_buried_first(origin: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    origin.post("a", "b", ttl=10)
    origin.post("c", ttl=5)
    clock.advance(5)
    origin.driver.dead_letter_all()
    clock.advance(5)
    origin.driver.dead_letter_all()

    assert dlq.free() == ["c", "a", "b"]


def test_a_message_lives_as_long_as_it_is_claimed(origin: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    origin.post("a", ttl=10)
    held = origin.claim(ttl=60, grace=5)
    clock.advance(59)

    assert origin.driver.dead_letter_all() == 0
    assert origin.claimed_by(held) == ["a"]
    clock.advance(6)
    assert origin.driver.dead_letter_all() == 1
    assert dead_letters(dlq) == [("a", "expired", 1)]


def test_expired_dead_letters_get_the_ttl_for_dead_letters(
    queues: MakeQueue, dlq: QueueHandle, clock: ManualClock
) -> None:
    queue = queues("brief", _dead_letter_queue="dlq", _dead_letter_expired=True, _dead_letter_queue_messages_ttl=50)
    queue.post("a", ttl=10)
    clock.advance(10)
    queue.driver.dead_letter_all()

    assert dlq.first()["ttl"] == 50
    clock.advance(50)
    assert dlq.all() == []


def test_what_expires_goes_for_good_unless_the_queue_says_otherwise(
    queues: MakeQueue, dlq: QueueHandle, clock: ManualClock
) -> None:
    queue = queues("queue", _dead_letter_queue="dlq")
    queue.post("a", ttl=10)
    clock.advance(10)

    assert queue.driver.dead_letter_all() == 0
    assert dlq.all() == []


def test_what_expired_before_the_queue_said_so_is_not_brought_back(
    queues: MakeQueue, dlq: QueueHandle, clock: ManualClock
) -> None:
    queue = queues("queue")
    queue.post("a", ttl=10)
    clock.advance(10)
    queue.claim()
    metadata = {"_dead_letter_queue": "dlq", "_dead_letter_expired": True}
    queue.driver.queue_controller.set_metadata("queue", metadata)

    assert queue.driver.dead_letter_all() == 0
    assert dlq.all() == []


def test_a_queue_may_begin_to_bury_what_expires(queues: MakeQueue, dlq: QueueHandle, clock: ManualClock) -> None:
    queue = queues("queue")
    queue.post("a", ttl=10)
    metadata = {"_dead_letter_queue": "dlq", "_dead_letter_expired": True}
    queue.driver.queue_controller.set_metadata("queue", metadata)
    clock.advance(10)

    assert queue.driver.dead_letter_all() == 1
    assert dlq.free() == ["a"]


def test_collecting_loses_no_dead_letter(origin: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    origin.post(*range(5), ttl=10)
    clock.advance(10)

    origin.driver.gc()
    origin.driver.dead_letter_all()

    assert sorted(dlq.free()) == list(range(5))


def test_thousands_that_expired_are_all_buried(origin: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    origin.post(*range(3000), ttl=10)
    clock.advance(10)

    assert sum(origin.driver.dead_letter_all() for _ in range(4)) == 3000
    assert dlq.count() == 3000


def test_a_ring_of_queues_is_walked_once_a_round(queues: MakeQueue, clock: ManualClock) -> None:
    queues("wait", _dead_letter_queue="work", _dead_letter_expired=True)
    work = queues("work", _dead_letter_queue="wait", _dead_letter_expired=True)
    work.post("a")
    work.reject(work.claim())
    wait = QueueHandle(work.driver, "wait", None)

    assert dead_letters(wait) == [("a", "rejected", 1)]
    wait.reject(wait.claim())
    assert dead_letters(work) == [("a", "rejected", 1)]


def test_a_deleted_queue_buries_nothing(origin: QueueHandle, dlq: QueueHandle, clock: ManualClock) -> None:
    origin.post("a", ttl=10)
    clock.advance(10)
    origin.drop()

    assert origin.driver.dead_letter_all() == 0
    assert dlq.all() == []


def test_projects_keep_their_dead_letters_apart(queues: MakeQueue, dlq: QueueHandle, clock: ManualClock) -> None:
    theirs = queues("dlq", "project")
    queue = queues("origin", "project", _dead_letter_queue="dlq", _dead_letter_expired=True)
    queue.post("a", ttl=10)
    clock.advance(10)

    assert queue.driver.dead_letter_all() == 1
    assert (theirs.free(), dlq.free()) == (["a"], [])


def test_an_unreadable_record_that_expired_is_buried_as_such(
    backend: Backend, origin: QueueHandle, dlq: QueueHandle, clock: ManualClock
) -> None:
    backend.corrupt(origin.name, *origin.post("a", ttl=10))
    clock.advance(10)

    assert origin.driver.dead_letter_all() == 1
    (message,) = dlq.page()[0]
    assert message["body"]["record"] == b"\xc1"
    assert message["dead_letter"]["reason"] == "unreadable"


def test_a_watch_wakes_when_a_message_expires_that_is_to_be_buried(origin: QueueHandle, clock: ManualClock) -> None:
    origin.post("a", ttl=10)
    origin.claim(ttl=1)
    watch = origin.driver.watch([(None, "origin")])
    try:
        clock.advance(10)
        assert watch.wait(LIMIT) is True
    finally:
        watch.close()
