"""Paused queues: no consumer claims from them, and all else goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu_pool import errors
from kombu_pool.testing.conformance.test_watch import LIMIT, drain, soon, watching
from kombu_pool.testing.handles import QueueHandle, bodies, dead_letters

if TYPE_CHECKING:
    from kombu_pool.storage import ControlDriver, DataDriver
    from kombu_pool.testing.backend import Backend
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue


@pytest.fixture
def paused(queue: QueueHandle) -> QueueHandle:
    """A paused queue with two messages."""
    queue.post("a", "b")
    queue.pause()
    return queue


def test_nothing_is_claimed_from_a_paused_queue(paused: QueueHandle) -> None:
    assert paused.claim() == (None, [])
    assert paused.pop() == []


def test_nothing_is_claimed_by_another_driver(paused: QueueHandle, backend: Backend) -> None:
    other = QueueHandle(backend.another(), paused.name, paused.project)

    assert other.claim() == (None, [])


def test_a_driver_that_claimed_before_claims_nothing_more(queue: QueueHandle, backend: Backend) -> None:
    other = QueueHandle(backend.another(), queue.name, queue.project)
    queue.post(*range(10))
    queue.claim(limit=2)
    other.claim(limit=2)

    queue.pause()

    assert queue.claim(limit=2) == (None, [])
    assert other.claim(limit=2) == (None, [])


def test_a_resumed_queue_goes_on_where_it_was(paused: QueueHandle) -> None:
    paused.claim()

    paused.resume()

    claimed = paused.claim()
    assert bodies(claimed) == ["a", "b"]
    assert [message["claim_count"] for message in claimed.messages] == [1, 1]


def test_another_driver_claims_from_a_resumed_queue_at_once(paused: QueueHandle, backend: Backend) -> None:
    other = QueueHandle(backend.another(), paused.name, paused.project)
    other.claim()

    paused.resume()

    assert bodies(other.claim()) == ["a", "b"]


def test_pausing_and_resuming_twice_is_as_good_as_once(paused: QueueHandle) -> None:
    paused.pause()
    assert paused.is_paused()

    paused.resume()
    paused.resume()

    assert not paused.is_paused()
    assert bodies(paused.claim()) == ["a", "b"]


def test_other_queues_are_not_paused(paused: QueueHandle, queues: MakeQueue) -> None:
    others = [queues("other"), queues(paused.name, "project")]
    for other in others:
        other.post("c")

    assert [bodies(other.claim()) for other in others] == [["c"], ["c"]]
    assert [other.is_paused() for other in others] == [False, False]


def test_a_paused_queue_takes_messages_and_shows_them(paused: QueueHandle) -> None:
    paused.post("c")

    assert paused.free() == ["a", "b", "c"]
    assert paused.first()["body"] == "a"
    assert paused.count() == 3
    assert paused.stats()["free"] == 3
    assert paused.purge() == 3


def test_the_counts_of_many_queues_show_the_paused_ones(paused: QueueHandle, queues: MakeQueue) -> None:
    names = [(None, paused.name), (None, queues("other").name)]

    counts = paused.driver.message_controller.count_many(names)

    assert [(each.paused, each.free) for each in counts if each is not None] == [(True, 2), (False, 0)]


def test_what_is_claimed_is_settled_and_renewed(queue: QueueHandle) -> None:
    queue.post("a", "b", "c")
    held = queue.claim()
    queue.pause()

    queue.renew(held.id)
    assert queue.delete_claimed([(held.messages[0]["id"], held.id)]) == []
    assert queue.release(held.id, [held.messages[1]["id"]]) == 1
    assert queue.end_claims("no such holder") == 0

    assert queue.claimed_by(held) == ["c"]
    assert queue.free() == ["b"]
    assert queue.claim() == (None, [])


def test_the_acknowledgements_of_a_claim_are_deleted(queue: QueueHandle, driver: DataDriver) -> None:
    queue.post("a", "b")
    held = queue.claim(limit=1)
    queue.pause()

    acked = [(held.messages[0]["id"], held.id)]
    result = driver.claim_controller.ack_and_claim(queue.name, acked, {"ttl": 60, "grace": 0})

    assert result == ([], None, [])
    assert queue.all() == ["b"]


def test_messages_are_claimed_by_their_ids(queue: QueueHandle) -> None:
    posted = queue.post("a", "b")
    queue.pause()

    assert bodies(queue.claim_by_id(posted[1:])) == ["b"]


def test_what_becomes_free_stays_until_the_queue_is_resumed(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("claimed")
    queue.claim(ttl=10)
    queue.post("delayed", delay=10)
    queue.pause()
    clock.advance(11)

    assert queue.claim() == (None, [])
    assert queue.count() == 2
    queue.resume()

    assert bodies(queue.claim()) == ["claimed", "delayed"]


def test_messages_of_a_paused_queue_expire(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", ttl=10)
    queue.pause()

    clock.advance(11)

    assert queue.claim() == (None, [])
    assert queue.count() == 0


def test_expired_and_rejected_messages_leave_a_paused_queue(
    origin: QueueHandle, dlq: QueueHandle, clock: ManualClock
) -> None:
    origin.post("rejected")
    held = origin.claim()
    origin.post("expired", ttl=10)
    origin.pause()

    assert origin.reject(held) == []
    clock.advance(11)
    assert origin.claim() == (None, [])

    assert sorted(dead_letters(dlq)) == [("expired", "expired", 0), ("rejected", "rejected", 1)]


def test_a_paused_queue_takes_dead_letters_and_gives_them_back(origin: QueueHandle, dlq: QueueHandle) -> None:
    dlq.pause()
    origin.post("a")
    origin.reject(origin.claim())
    assert dlq.free() == ["a"]
    assert dlq.claim() == (None, [])

    dlq.redrive()

    assert origin.free() == ["a"]


def test_the_pause_outlives_other_metadata_and_a_declaration(paused: QueueHandle, driver: DataDriver) -> None:
    driver.queue_controller.set_metadata(paused.name, {"_default_message_ttl": 60})
    paused.create(other="metadata")

    assert paused.is_paused()
    assert paused.claim() == (None, [])


def test_the_pause_outlives_a_new_incarnation(leaf: Backend) -> None:
    queues, queue = leaf.driver.queue_controller, QueueHandle(leaf.driver, "q", None)
    queues.create("q", {}, incarnation="1")
    queue.post("a")
    queue.pause()

    queues.create("q", {}, incarnation="2", replaces="1")

    assert queue.claim() == (None, [])


def test_the_pause_ends_with_the_queue(paused: QueueHandle) -> None:
    paused.drop()
    paused.create()
    paused.post("new")

    assert not paused.is_paused()
    assert bodies(paused.claim()) == ["new"]


def test_an_absent_queue_is_neither_paused_nor_resumed(absent: QueueHandle) -> None:
    for call in (absent.pause, absent.resume):
        with pytest.raises(errors.QueueDoesNotExist):
            call()


def test_a_control_store_pauses_no_queue(control: ControlDriver) -> None:
    control.queue_controller.create("q")

    for call in (control.queue_controller.pause, control.queue_controller.resume):
        with pytest.raises(errors.NotPermitted):
            call("q")


def test_a_paused_queue_with_messages_wakes_no_watch(paused: QueueHandle, driver: DataDriver) -> None:
    with watching(driver, paused) as watch:
        paused.post("c")

        drain(watch)


def test_resuming_a_queue_ends_a_wait(paused: QueueHandle, driver: DataDriver, backend: Backend) -> None:
    other = QueueHandle(backend.another(), paused.name, paused.project)

    with watching(driver, paused) as watch, soon(other.resume):
        assert watch.wait(LIMIT) is True


def test_the_deletion_of_a_paused_queue_ends_a_wait(paused: QueueHandle, driver: DataDriver) -> None:
    with watching(driver, paused) as watch, soon(paused.drop):
        assert watch.wait(LIMIT) is True


def test_an_expiry_to_the_dead_letters_of_a_paused_queue_is_told_once(
    origin: QueueHandle, dlq: QueueHandle, driver: DataDriver, clock: ManualClock
) -> None:
    origin.post("a", "b")
    origin.post("c", ttl=10)
    origin.pause()
    with watching(driver, origin) as watch:
        clock.advance(11)
        assert watch.wait(LIMIT) is True
        origin.claim()

        drain(watch)

    assert dead_letters(dlq) == [("c", "expired", 0)]
