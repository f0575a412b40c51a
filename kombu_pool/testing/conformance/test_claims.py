"""Claims: their order, their expiry, renewal and release."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from kombu_pool import errors
from kombu_pool.testing.handles import UNKNOWN_ID, QueueHandle, bodies, ids

if TYPE_CHECKING:
    from kombu_pool.storage import DataDriver
    from kombu_pool.testing.backend import Backend
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue


def test_a_claim_lends_the_first_messages(queue: QueueHandle) -> None:
    queue.post("a", "b", "c")

    held = queue.claim(limit=2)

    assert isinstance(held.id, str)
    assert bodies(held) == ["a", "b"]
    assert queue.free() == ["c"]


def test_a_claim_lends_ten_unless_told_otherwise(queue: QueueHandle, driver: DataDriver) -> None:
    queue.post(*range(12))

    _, messages = driver.claim_controller.create(queue.name, {"ttl": 60, "grace": 0})

    assert len(messages) == 10


def test_a_lent_message_names_its_claim(queue: QueueHandle) -> None:
    queue.post("a")

    held = queue.claim()

    assert held.messages[0]["claim_id"] == held.id


def test_a_lent_message_shows_these_keys_and_no_others(queue: QueueHandle, clock: ManualClock) -> None:
    (message_id,) = queue.post("a", ttl=300, priority=3)
    clock.advance(7)

    held = queue.claim(ttl=60)

    held.messages[0].pop("checksum", None)
    assert held.messages[0] == {
        "id": message_id,
        "age": 7,
        "ttl": 300,
        "body": "a",
        "claim_id": held.id,
        "claim_count": 1,
        "priority": 3,
    }


def test_two_claims_never_hold_one_message(queue: QueueHandle) -> None:
    queue.post("a", "b", "c")

    first, second, third = queue.claim(limit=2), queue.claim(limit=2), queue.claim(limit=2)

    assert (bodies(first), bodies(second), third) == (["a", "b"], ["c"], (None, []))
    assert first.id != second.id


def test_nothing_to_claim_is_no_claim(queue: QueueHandle, absent: QueueHandle) -> None:
    assert queue.claim() == (None, [])
    assert absent.claim() == (None, [])


def test_a_claim_of_no_messages_is_no_claim(queue: QueueHandle) -> None:
    queue.post("a")

    assert queue.claim(limit=0) == (None, [])
    assert queue.free() == ["a"]


def test_claiming_from_an_absent_queue_does_not_create_it(absent: QueueHandle, driver: DataDriver) -> None:
    absent.claim()

    assert not driver.queue_controller.exists("absent")


def test_a_thousand_messages_can_be_claimed_and_deleted_together(queue: QueueHandle) -> None:
    posted = queue.post(*range(1000))
    held = queue.claim(limit=1000)

    assert ids(held) == posted
    assert queue.delete_claimed([(message_id, held.id) for message_id in posted]) == []
    assert queue.all() == []


def test_each_lending_is_counted(queue: QueueHandle, clock: ManualClock) -> None:
    (message_id,) = queue.post("a")

    for count in (1, 2, 3):
        assert queue.claim(ttl=60).messages[0]["claim_count"] == count
        clock.advance(60)

    assert queue.get(message_id)["claim_count"] == 3


def test_renewal_and_release_keep_the_count(queue: QueueHandle) -> None:
    (message_id,) = queue.post("a")
    held = queue.claim()

    queue.renew(held.id)
    queue.end(held.id)

    assert queue.get(message_id)["claim_count"] == 1
    assert queue.claim().messages[0]["claim_count"] == 2


def test_a_claim_can_be_looked_at(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", "b", "c")
    held = queue.claim(limit=2, ttl=60)
    clock.advance(5)

    claim, messages = queue.claim_of(held.id)

    assert claim == {"id": held.id, "age": 5, "ttl": 60}
    assert bodies(messages) == ["a", "b"]


def test_a_claim_shows_its_messages_in_order(queue: QueueHandle) -> None:
    queue.post("low", "low 2")
    queue.post("high", priority=5)
    held = queue.claim()

    assert queue.claimed_by(held) == ["high", "low", "low 2"]


def test_a_claim_shows_what_it_still_holds(queue: QueueHandle) -> None:
    queue.post("a", "b", "c")
    held = queue.claim()
    queue.delete(held.messages[1]["id"], claim=held.id)

    assert queue.claimed_by(held) == ["a", "c"]


def test_a_claim_ends_with_its_ttl(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a")
    held = queue.claim(ttl=60)
    clock.advance(59.5)
    assert queue.claim() == (None, [])

    clock.advance(0.5)

    with pytest.raises(errors.ClaimDoesNotExist):
        queue.claim_of(held.id)
    assert bodies(queue.claim()) == ["a"]


def test_the_messages_of_an_ended_claim_name_it_until_they_are_lent_again(
    queue: QueueHandle, clock: ManualClock
) -> None:
    (message_id,) = queue.post("a")
    held = queue.claim(ttl=60)
    clock.advance(60)

    assert queue.get(message_id)["claim_id"] == held.id
    again = queue.claim()
    assert queue.get(message_id)["claim_id"] == again.id


def test_a_claim_with_ttl_zero_ends_at_once(queue: QueueHandle) -> None:
    queue.post("a")

    held = queue.claim(ttl=0)

    assert bodies(held) == ["a"]
    assert queue.free() == ["a"]
    assert queue.claim().messages[0]["claim_count"] == 2
    with pytest.raises(errors.ClaimDoesNotExist):
        queue.claim_of(held.id)


def test_an_expired_claim_does_not_free_a_live_one_behind_it(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", "b")
    queue.claim(limit=1, ttl=60)
    held = queue.claim(limit=1, ttl=300)
    clock.advance(61)

    again = queue.claim(limit=10, ttl=60)

    assert bodies(again) == ["a"]
    assert queue.claimed_by(held) == ["b"]


def test_what_comes_back_stands_where_it_stood(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", "b")
    queue.claim(limit=2, ttl=60)
    queue.post("c")
    clock.advance(60)

    assert bodies(queue.claim()) == ["a", "b", "c"]


def test_a_malformed_claim_does_not_exist_whatever_it_is_to_become(queue: QueueHandle) -> None:
    with pytest.raises(errors.ClaimDoesNotExist):
        queue.driver.claim_controller.update(queue.name, "no claim", {"ttl": 40})  # type: ignore[typeddict-item]


@pytest.mark.parametrize("claim_id", [UNKNOWN_ID, "", "no claim", "🐇", "f" * 200])
def test_a_claim_that_never_was_does_not_exist(queue: QueueHandle, claim_id: str) -> None:
    queue.post("a")

    with pytest.raises(errors.ClaimDoesNotExist):
        queue.claim_of(claim_id)
    with pytest.raises(errors.ClaimDoesNotExist):
        queue.renew(claim_id)
    queue.end(claim_id)
    assert queue.release(claim_id, [UNKNOWN_ID]) == 0


def test_a_claim_of_an_absent_queue_does_not_exist(absent: QueueHandle) -> None:
    with pytest.raises(errors.ClaimDoesNotExist) as raised:
        absent.claim_of(UNKNOWN_ID)
    with pytest.raises(errors.ClaimDoesNotExist):
        absent.renew(UNKNOWN_ID)

    assert (raised.value.claim_id, raised.value.queue) == (UNKNOWN_ID, "absent")
    absent.end(UNKNOWN_ID)
    assert absent.release(UNKNOWN_ID, [UNKNOWN_ID]) == 0


def test_a_claim_belongs_to_its_queue(queue: QueueHandle, queues: MakeQueue) -> None:
    queue.post("a")
    held = queue.claim()
    other = queues("other")

    with pytest.raises(errors.ClaimDoesNotExist):
        other.claim_of(held.id)
    with pytest.raises(errors.ClaimDoesNotExist):
        other.renew(held.id)
    other.end(held.id)
    assert queue.claimed_by(held) == ["a"]


def test_renewal_lets_a_claim_live_from_now_on(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a")
    held = queue.claim(ttl=60)
    clock.advance(50)

    queue.renew(held.id, ttl=60)

    assert queue.claim_of(held.id)[0] == {"id": held.id, "age": 0, "ttl": 60}
    clock.advance(59)
    assert queue.claimed_by(held) == ["a"]
    clock.advance(1)
    assert bodies(queue.claim()) == ["a"]


def test_renewal_can_shorten_a_claim(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a")
    held = queue.claim(ttl=600)
    queue.renew(held.id, ttl=10)
    clock.advance(10)

    assert bodies(queue.claim()) == ["a"]


def test_a_claim_can_be_renewed_for_ever(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", ttl=30)
    held = queue.claim(ttl=60, grace=60)

    for _ in range(20):
        clock.advance(40)
        queue.renew(held.id, ttl=60, grace=60)

    assert queue.claimed_by(held) == ["a"]


def test_an_ended_claim_is_not_renewed(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a")
    held = queue.claim(ttl=60)
    clock.advance(60)

    with pytest.raises(errors.ClaimDoesNotExist):
        queue.renew(held.id)

    assert queue.free() == ["a"]


def test_deleting_a_claim_frees_its_messages_where_they_stood(queue: QueueHandle) -> None:
    posted = queue.post("a", "b")
    held = queue.claim()
    queue.post("c")

    queue.end(held.id)
    queue.end(held.id)

    assert queue.free() == ["a", "b", "c"]
    assert queue.get(posted[0])["claim_id"] is None
    with pytest.raises(errors.ClaimDoesNotExist):
        queue.claim_of(held.id)


def test_releasing_frees_some_messages_where_they_stood(queue: QueueHandle) -> None:
    posted = queue.post("a", "b", "c")
    held = queue.claim()

    assert queue.release(held.id, [posted[1], posted[0]]) == 2

    assert queue.free() == ["a", "b"]
    assert queue.claimed_by(held) == ["c"]
    assert queue.get(posted[0])["claim_id"] is None
    assert queue.get(posted[0])["claim_count"] == 1


def test_releasing_what_a_claim_does_not_hold_frees_nothing(queue: QueueHandle) -> None:
    posted = queue.post("a", "b")
    mine, theirs = queue.claim(limit=1), queue.claim(limit=1)

    assert queue.release(mine.id, [posted[1], UNKNOWN_ID, "🐇"]) == 0
    assert queue.release(mine.id, []) == 0
    assert queue.claimed_by(theirs) == ["b"]


def test_releasing_under_an_ended_claim_frees_nothing(queue: QueueHandle, clock: ManualClock) -> None:
    posted = queue.post("a")
    held = queue.claim(ttl=60)
    clock.advance(60)
    again = queue.claim()

    assert queue.release(held.id, posted) == 0
    assert queue.claimed_by(again) == ["a"]


def test_releasing_twice_frees_once(queue: QueueHandle) -> None:
    posted = queue.post("a", "b")
    held = queue.claim()

    assert queue.release(held.id, [posted[0], posted[0]]) == 1
    assert queue.release(held.id, [posted[0]]) == 0


def test_claims_of_many_threads_never_meet(backend: Backend, queue: QueueHandle) -> None:
    queue.post(*range(400))
    claimed: list[int] = []
    lock = threading.Lock()

    def work() -> None:
        mine = QueueHandle(backend.another(), queue.name, None)
        while (held := mine.claim(limit=7)).id:
            with lock:
                claimed.extend(bodies(held))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(claimed) == [*range(400)]
