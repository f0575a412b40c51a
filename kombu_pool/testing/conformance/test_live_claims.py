"""The claims of a queue, as an operator sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.storage.inspection import ClaimInspection, holder_tag

if TYPE_CHECKING:
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue
    from kombu_pool.testing.handles import QueueHandle


def names_holders(queue: QueueHandle) -> bool:
    """Return whether the driver has more than the default, which knows no holders."""
    return type(queue.driver.claim_controller).live_claims is not ClaimInspection.live_claims


def test_a_claim_is_listed_with_its_messages_its_age_and_its_holder(queue: QueueHandle, clock: ManualClock) -> None:
    first, second, _ = queue.post("a", "b", "c")
    claimed = queue.claim(limit=2, ttl=60, holder="machine:1:2")
    clock.advance(7)

    (claim,) = queue.live_claims()

    assert (claim.id, claim.age, claim.ttl, claim.held) == (claimed.id, 7, 60, 2)
    assert sorted(claim.message_ids) == sorted([first, second])
    assert claim.holder == (holder_tag("machine:1:2") if names_holders(queue) else None)


def test_the_claims_of_two_holders_are_told_apart(queue: QueueHandle) -> None:
    queue.post(*range(3))
    one, other, without = (queue.claim(limit=1, holder=holder) for holder in ("one", "other \u00fc", None))

    found = {claim.id: claim.holder for claim in queue.live_claims()}

    known = {one.id: holder_tag("one"), other.id: holder_tag("other \u00fc"), without.id: None}
    assert found == (known if names_holders(queue) else dict.fromkeys(known))


def test_the_age_of_a_claim_counts_from_its_last_renewal(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a")
    claimed = queue.claim(ttl=60, holder="one")
    clock.advance(40)
    queue.renew(claimed.id, ttl=90)
    clock.advance(3)

    (claim,) = queue.live_claims()

    assert (claim.age, claim.ttl) == (3, 90)
    assert claim.holder == (holder_tag("one") if names_holders(queue) else None)


def test_a_claim_that_has_ended_is_not_listed(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post(*range(4))
    released, deleted, expired, live = (queue.claim(limit=1, ttl=ttl) for ttl in (60, 60, 10, 60))
    queue.end(released.id)
    queue.delete(deleted.messages[0]["id"], deleted.id)
    clock.advance(11)

    assert [claim.id for claim in queue.live_claims()] == [live.id]
    assert expired.messages[0]["body"] in queue.free()


def test_messages_that_are_settled_are_not_listed_with_their_claim(queue: QueueHandle) -> None:
    queue.post(*range(3))
    claimed = queue.claim()
    acked, released, held = (message["id"] for message in claimed.messages)
    queue.delete(acked, claimed.id)
    queue.release(claimed.id, [released])

    (claim,) = queue.live_claims()

    assert (list(claim.message_ids), claim.held) == ([held], 1)


def test_no_more_messages_are_named_than_asked_for_and_all_are_counted(queue: QueueHandle) -> None:
    queue.post(*range(12))
    sizes = {queue.claim(limit=limit).id: limit for limit in (7, 5)}

    for limit in (1, 5, 6, 12, 20):
        found = queue.live_claims(limit)
        assert sum(len(claim.message_ids) for claim in found) == min(limit, 12)
        assert {claim.id: claim.held for claim in found}.items() <= sizes.items()
        assert all(len(set(claim.message_ids)) == len(claim.message_ids) <= claim.held for claim in found)
    assert queue.live_claims(0) == []


def test_a_claim_behind_many_free_messages_is_listed(queue: QueueHandle) -> None:
    *_, last = queue.post(*range(50))
    claimed = queue.claim_by_id([last], holder="one")
    queue.post("later", delay=60)

    (claim,) = queue.live_claims(1)

    assert (claim.id, list(claim.message_ids)) == (claimed.id, [last])


def test_the_claims_of_other_queues_are_not_listed(queues: MakeQueue, absent: QueueHandle) -> None:
    queue, other, elsewhere = queues("q"), queues("r"), queues("q", "p")
    for one in (queue, other, elsewhere):
        one.post("a")
    claimed = [one.claim().id for one in (queue, other, elsewhere)]

    assert [one.live_claims()[0].id for one in (queue, other, elsewhere)] == claimed
    assert absent.live_claims() == []
