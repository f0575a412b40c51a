"""Thousands of messages in one call: more than Lua's unpack takes at once, which is near 8,000."""

from __future__ import annotations

import pytest

from kombu_pool import errors
from kombu_pool.testing import UNKNOWN_ID, ManualClock, bodies, ids

COUNTS = [5_000, 20_000]


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def dead(uri, open_queue, clock):
    return open_queue(uri, "dead", clock=clock)


@pytest.fixture
def queue(uri, open_queue, clock, dead):
    metadata = {"_max_claim_count": 2, "_dead_letter_queue": dead.name}
    return open_queue(uri, metadata=metadata, clock=clock)


@pytest.fixture(params=COUNTS)
def count(request):
    return request.param


@pytest.fixture
def posted(queue, count):
    """Messages that expire, posted at once."""
    return queue.post(*range(count), ttl=600)


def test_many_messages_are_posted_at_once_and_in_order(queue, count, posted):
    assert len({*posted}) == count
    assert queue.stats()["free"] == count
    assert queue.all() == [*range(count)]


def test_many_delayed_messages_are_free_at_once(queue, count, clock):
    queue.post(*range(count), delay=10, ttl=600)
    clock.advance(10)

    assert queue.free() == [*range(count)]


def test_of_many_messages_none_is_posted_when_one_cannot_be(queue, count):
    with pytest.raises(errors.InvalidMessage):
        queue.post_raw([*({"ttl": None, "body": number} for number in range(count)), {"ttl": None, "body": object()}])

    assert queue.all() == []


def test_many_messages_are_claimed_and_acknowledged_at_once(queue, count, posted, client):
    held = queue.claim(limit=count + 1, ttl=1000, grace=10)

    assert bodies(held) == [*range(count)]
    assert queue.delete_claimed([(message_id, held.id) for message_id in posted]) == []
    assert queue.all() == []
    with pytest.raises(errors.ClaimDoesNotExist):
        queue.claim_of(held.id)


def test_many_messages_are_renewed_looked_at_and_given_back_at_once(queue, count, posted, clock):
    held = queue.claim(limit=count, ttl=10)
    queue.renew(held.id, ttl=700, grace=100)
    clock.advance(650)

    assert queue.claimed_by(held) == [*range(count)]
    assert {message["ttl"] for message in queue.get_all(posted)} == {800}
    assert queue.release(held.id, posted[:-1]) == count - 1
    queue.end(held.id)
    assert queue.free() == [*range(count)]


def test_many_messages_of_a_claim_that_ended_are_free_at_once(queue, count, posted, clock):
    queue.claim(limit=count, ttl=10)
    clock.advance(10)

    assert (queue.stats()["free"], queue.stats()["claimed"]) == (count, 0)
    assert queue.free() == [*range(count)]


def test_many_messages_are_deleted_at_once_whatever_their_state(queue, count, posted):
    queue.claim(limit=count // 3)
    queue.post(*range(count), delay=10)

    queue.delete_all([*posted, UNKNOWN_ID])
    assert queue.all() == [*range(count)]
    assert queue.purge() == count

    assert queue.stats()["total"] == 0


def test_of_many_claimed_messages_none_is_deleted_when_one_is_not_claimed(queue, count, posted):
    held = queue.claim(limit=count - 1)

    with pytest.raises(errors.MessageNotClaimed):
        queue.delete_all(posted, claim_ids=[held.id])

    assert queue.stats()["total"] == count
    queue.delete_all(ids(held), claim_ids=[held.id])
    assert queue.all() == [count - 1]


def test_a_purge_of_many_keeps_the_many_that_are_claimed(queue, count, posted, clock):
    queue.end(queue.claim(limit=count).id)
    held = queue.claim(limit=count // 2, ttl=60)

    assert queue.purge() == count - count // 2

    assert queue.claimed_by(held) == [*range(count // 2)]
    assert {message["claim_count"] for message in queue.get_all(posted)} == {2}
    clock.advance(600)
    assert queue.all() == []


def test_many_messages_are_popped_at_once(queue, count, posted):
    assert bodies(queue.pop(count)) == [*range(count)]
    assert queue.all() == []


def test_many_messages_expire_at_once(queue, count, posted, clock):
    queue.claim(limit=count // 2, ttl=10)
    clock.advance(600)

    collected = 0
    while went := queue.driver.gc():
        collected += went

    # The messages and the claim.
    assert collected == count + 1
    assert queue.stats()["total"] == 0


def test_many_messages_are_dead_lettered_by_one_claim(queue, dead, clock):
    count = COUNTS[0]
    queue.post(*range(count), ttl=600)
    for _ in range(2):
        queue.claim(limit=count, ttl=10)
        clock.advance(10)

    assert queue.claim(limit=count) == (None, [])

    assert queue.all() == []
    assert dead.free() == [*range(count)]
