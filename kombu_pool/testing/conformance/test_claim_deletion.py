"""Deletion of claimed messages: the table of ``MessageController.delete``, and the calls that delete many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu_pool import errors
from kombu_pool.testing.handles import UNKNOWN_ID, ids

if TYPE_CHECKING:
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.handles import QueueHandle

MALFORMED = ["", "no claim", "🐇", "g" * 16, "0" * 200]


@pytest.fixture
def message_id(queue: QueueHandle) -> str:
    return queue.post("a")[0]


def test_an_absent_queue_has_nothing_to_delete(absent: QueueHandle) -> None:
    absent.delete(UNKNOWN_ID)
    absent.delete(UNKNOWN_ID, claim=UNKNOWN_ID)
    absent.delete_all([UNKNOWN_ID])
    assert absent.delete_claimed([(UNKNOWN_ID, UNKNOWN_ID)]) == [(UNKNOWN_ID, UNKNOWN_ID)]


@pytest.mark.parametrize("unknown", [UNKNOWN_ID, "", "no id", "🐇", "-1", "1e9", "9" * 40])
def test_an_unknown_or_malformed_message_id_deletes_nothing(queue: QueueHandle, message_id: str, unknown: str) -> None:
    held = queue.claim()

    queue.delete(unknown)
    queue.delete(unknown, claim=held.id)
    queue.delete_all([unknown])

    assert queue.all() == ["a"]


def test_an_unclaimed_message_is_deleted_without_claim(queue: QueueHandle, message_id: str) -> None:
    queue.delete(message_id)

    assert queue.all() == []


def test_a_delayed_message_is_deleted_without_claim(queue: QueueHandle) -> None:
    (message_id,) = queue.post("a", delay=60)

    queue.delete(message_id)

    assert queue.all() == []


def test_deleting_again_does_nothing(queue: QueueHandle, message_id: str) -> None:
    queue.delete(message_id)

    queue.delete(message_id)


def test_an_unclaimed_message_is_not_deleted_under_a_claim(queue: QueueHandle, message_id: str) -> None:
    queue.post("b", priority=1)
    other = queue.claim(limit=1)

    for claim in (UNKNOWN_ID, other.id):
        with pytest.raises(errors.MessageNotClaimed) as raised:
            queue.delete(message_id, claim=claim)
        assert raised.value.message_id == message_id

    assert queue.free() == ["a"]


def test_a_claimed_message_is_not_deleted_without_claim(queue: QueueHandle, message_id: str) -> None:
    held = queue.claim()

    with pytest.raises(errors.MessageIsClaimed) as raised:
        queue.delete(message_id)

    assert raised.value.message_id == message_id
    assert queue.claimed_by(held) == ["a"]


def test_a_claimed_message_is_deleted_under_its_claim(queue: QueueHandle, message_id: str) -> None:
    held = queue.claim()

    queue.delete(message_id, claim=held.id)

    assert queue.all() == []


def test_deleting_again_under_the_same_claim_does_nothing(queue: QueueHandle, message_id: str) -> None:
    queue.post("b")
    held = queue.claim()

    queue.delete(message_id, claim=held.id)
    queue.delete(message_id, claim=held.id)

    assert queue.claimed_by(held) == ["b"]


def test_a_claimed_message_is_not_deleted_under_another_live_claim(queue: QueueHandle, message_id: str) -> None:
    held = queue.claim()
    queue.post("b")
    other = queue.claim()

    with pytest.raises(errors.MessageNotClaimedBy) as raised:
        queue.delete(message_id, claim=other.id)

    assert (raised.value.message_id, raised.value.claim_id) == (message_id, other.id)
    assert queue.claimed_by(held) == ["a"]


def test_a_claimed_message_is_not_deleted_under_an_unknown_claim(queue: QueueHandle, message_id: str) -> None:
    held = queue.claim()

    with pytest.raises(errors.ClaimDoesNotExist):
        queue.delete(message_id, claim=UNKNOWN_ID)

    assert queue.claimed_by(held) == ["a"]


@pytest.mark.parametrize("malformed", MALFORMED)
def test_a_malformed_claim_does_not_exist(queue: QueueHandle, message_id: str, malformed: str) -> None:
    with pytest.raises(errors.ClaimDoesNotExist):
        queue.delete(message_id, claim=malformed)

    queue.claim()
    with pytest.raises(errors.ClaimDoesNotExist):
        queue.delete(message_id, claim=malformed)

    assert queue.all() == ["a"]


def test_a_message_whose_claim_has_ended_is_deleted_without_claim(
    queue: QueueHandle, message_id: str, clock: ManualClock
) -> None:
    queue.claim(ttl=60)
    clock.advance(60)

    queue.delete(message_id)

    assert queue.all() == []


def test_an_ended_claim_deletes_nothing(queue: QueueHandle, message_id: str, clock: ManualClock) -> None:
    held = queue.claim(ttl=60)
    clock.advance(60)

    with pytest.raises(errors.MessageNotClaimed):
        queue.delete(message_id, claim=held.id)

    assert queue.free() == ["a"]


def test_an_ended_claim_does_not_delete_what_another_holds_now(
    queue: QueueHandle, message_id: str, clock: ManualClock
) -> None:
    held = queue.claim(ttl=60)
    clock.advance(60)
    again = queue.claim()

    with pytest.raises(errors.ClaimDoesNotExist):
        queue.delete(message_id, claim=held.id)

    assert queue.claimed_by(again) == ["a"]


def test_a_released_message_is_not_deleted_under_its_former_claim(queue: QueueHandle, message_id: str) -> None:
    queue.post("b")
    held = queue.claim()
    queue.release(held.id, [message_id])

    with pytest.raises(errors.MessageNotClaimed):
        queue.delete(message_id, claim=held.id)

    assert queue.free() == ["a"]


def test_a_claim_ends_with_the_last_message_that_it_holds(queue: QueueHandle, message_id: str) -> None:
    held = queue.claim()

    queue.delete(message_id, claim=held.id)

    with pytest.raises(errors.ClaimDoesNotExist):
        queue.claim_of(held.id)
    with pytest.raises(errors.ClaimDoesNotExist):
        queue.renew(held.id)


def test_many_messages_are_deleted_whatever_their_state(queue: QueueHandle) -> None:
    posted = [*queue.post("claimed"), *queue.post("free")]
    held = queue.claim(limit=1)
    posted += queue.post("delayed", delay=60)
    queue.post("left")

    queue.delete_all([*posted, UNKNOWN_ID, "🐇", posted[0]])

    assert queue.all() == ["left"]
    with pytest.raises(errors.ClaimDoesNotExist):
        queue.claim_of(held.id)


def test_many_messages_are_deleted_under_the_claims_that_hold_them(queue: QueueHandle) -> None:
    queue.post("a", "b", "c", "d")
    first, second = queue.claim(limit=2), queue.claim(limit=1)

    queue.delete_all([*ids(first), *ids(second), UNKNOWN_ID], claim_ids=[first.id, second.id])

    assert queue.all() == ["d"]


def test_claims_that_hold_none_of_the_messages_may_be_listed(queue: QueueHandle, message_id: str) -> None:
    held = queue.claim()

    queue.delete_all([message_id], claim_ids=[UNKNOWN_ID, held.id])

    assert queue.all() == []


def test_with_claims_an_unclaimed_message_stops_all(queue: QueueHandle) -> None:
    queue.post("a", "b")
    held = queue.claim(limit=1)
    (free,) = (message["id"] for message in queue.page()[0])

    with pytest.raises(errors.MessageNotClaimed) as raised:
        queue.delete_all([*ids(held), free], claim_ids=[held.id])

    assert raised.value.message_id == free
    assert queue.all() == ["a", "b"]


def test_with_claims_a_message_of_an_unlisted_claim_stops_all(queue: QueueHandle) -> None:
    queue.post("a", "b")
    first, second = queue.claim(limit=1), queue.claim(limit=1)

    with pytest.raises(errors.ClaimDoesNotMatch):
        queue.delete_all([*ids(first), *ids(second)], claim_ids=[first.id])

    assert queue.all() == ["a", "b"]


def test_with_an_empty_list_of_claims_no_message_qualifies(queue: QueueHandle, message_id: str) -> None:
    with pytest.raises(errors.MessageNotClaimed):
        queue.delete_all([message_id], claim_ids=[])

    queue.claim()
    with pytest.raises(errors.ClaimDoesNotMatch):
        queue.delete_all([message_id], claim_ids=[])

    assert queue.all() == ["a"]


def test_with_an_ended_claim_nothing_is_deleted(queue: QueueHandle, message_id: str, clock: ManualClock) -> None:
    held = queue.claim(ttl=60)
    clock.advance(60)

    with pytest.raises(errors.MessageNotClaimed):
        queue.delete_all([message_id], claim_ids=[held.id])

    assert queue.all() == ["a"]


def test_delete_claimed_deletes_what_live_claims_hold(queue: QueueHandle) -> None:
    queue.post("a", "b", "c", "d")
    first, second = queue.claim(limit=2), queue.claim(limit=1)
    held = [(ids(first)[0], first.id), (ids(first)[1], first.id), (ids(second)[0], second.id)]

    assert queue.delete_claimed(held) == []
    assert queue.all() == ["d"]


def test_delete_claimed_returns_what_it_did_not_delete(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("ended", "held", "free")
    ended = queue.claim(limit=1, ttl=10)
    held = queue.claim(limit=1, ttl=60)
    clock.advance(10)
    refused = [
        (ids(ended)[0], ended.id),
        (ids(ended)[0], held.id),
        (ids(held)[0], ended.id),
        (ids(held)[0], UNKNOWN_ID),
        (ids(held)[0], "🐇"),
        (UNKNOWN_ID, held.id),
        ("🐇", held.id),
    ]

    assert queue.delete_claimed([*refused, (ids(held)[0], held.id)]) == refused
    assert queue.all() == ["ended", "free"]


def test_delete_claimed_deletes_once(queue: QueueHandle, message_id: str) -> None:
    held = queue.claim()

    assert queue.delete_claimed([(message_id, held.id)]) == []
    assert queue.delete_claimed([(message_id, held.id)]) == [(message_id, held.id)]


def test_delete_claimed_of_nothing_does_nothing(queue: QueueHandle, message_id: str) -> None:
    assert queue.delete_claimed([]) == []
    assert queue.all() == ["a"]


def test_delete_claimed_leaves_the_rest_of_the_claim(queue: QueueHandle) -> None:
    queue.post("a", "b")
    held = queue.claim()

    queue.delete_claimed([(ids(held)[0], held.id)])

    assert queue.claimed_by(held) == ["b"]


def test_delete_claimed_ends_a_claim_with_its_last_message(queue: QueueHandle, message_id: str) -> None:
    held = queue.claim()

    queue.delete_claimed([(message_id, held.id)])

    with pytest.raises(errors.ClaimDoesNotExist):
        queue.claim_of(held.id)


def test_a_message_that_another_claim_holds_now_is_not_deleted_by_the_former(
    queue: QueueHandle, message_id: str, clock: ManualClock
) -> None:
    former = queue.claim(ttl=10)
    clock.advance(10)
    holder = queue.claim()

    assert queue.delete_claimed([(message_id, former.id)]) == [(message_id, former.id)]
    assert queue.claimed_by(holder) == ["a"]
