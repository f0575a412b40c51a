"""The claims of one holder, and many claims renewed at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.testing.handles import bodies

if TYPE_CHECKING:
    from kombu_pool.storage import DataDriver
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.fixtures import MakeQueue
    from kombu_pool.testing.handles import QueueHandle

ONE, TWO = "machine:1:start", "machine:12:start"


def test_the_claims_of_a_holder_end_together(queue: QueueHandle) -> None:
    queue.post("a", "b", "c")
    held = [queue.claim(1, holder=ONE), queue.claim(1, holder=ONE)]

    assert queue.end_claims(ONE) == 2

    assert queue.free() == ["a", "b", "c"]
    again = queue.claim(holder=TWO)
    assert bodies(again) == ["a", "b", "c"]
    assert [message["claim_count"] for message in again.messages] == [2, 2, 1]
    assert [queue.renew_all([claim.id]) for claim in held] == [[claim.id] for claim in held]


def test_claims_of_the_holder_that_are_kept_go_on(queue: QueueHandle) -> None:
    queue.post("a", "b", "c", "d")
    first, _, third, other = [queue.claim(1, holder=holder) for holder in (ONE, ONE, ONE, TWO)]

    assert queue.end_claims(ONE, keep=[first.id, third.id, other.id, "no claim"]) == 1

    assert queue.free() == ["b"]
    assert queue.renew_all([first.id, third.id, other.id]) == []


def test_the_claims_of_other_holders_go_on(queue: QueueHandle) -> None:
    queue.post("a", "b", "c")
    queue.claim(1, holder=ONE)
    other, nameless = queue.claim(1, holder=TWO), queue.claim(1)

    assert queue.end_claims(ONE) == 1
    assert queue.end_claims(ONE) == 0

    assert queue.claimed_by(other) == ["b"]
    assert queue.claimed_by(nameless) == ["c"]


def test_only_the_claims_in_the_named_queues_end(queues: MakeQueue, driver: DataDriver) -> None:
    made = [queues("q"), queues("q", project="p"), queues("other")]
    for queue in made:
        queue.post("a")
        queue.claim(holder=ONE)

    assert driver.claim_controller.end_claims(ONE, [(None, "q"), ("p", "q"), (None, "absent")]) == 2

    assert [queue.free() for queue in made] == [["a"], ["a"], []]


def test_the_freed_messages_are_told_by_queue(queues: MakeQueue, driver: DataDriver) -> None:
    for queue, number in ((queues("q"), 2), (queues("q", project="p"), 1), (queues("other"), 3)):
        queue.post(*range(number))
        queue.claim(holder=ONE)
    queues("idle")
    scopes = [(None, "q"), ("p", "q"), (None, "idle"), (None, "absent")]
    end_claims_of = driver.claim_controller.end_claims_of

    assert end_claims_of(ONE, scopes) == {(None, "q"): 2, ("p", "q"): 1, (None, "idle"): 0, (None, "absent"): 0}
    assert end_claims_of(ONE, [(None, "q")]) == {(None, "q"): 0}
    assert end_claims_of(ONE, [(None, "other")]) == {(None, "other"): 3}
    assert end_claims_of(ONE, []) == {}


def test_what_a_holder_acknowledges_after_its_claims_ended_is_refused(queue: QueueHandle) -> None:
    queue.post("a")
    held = queue.claim(holder=ONE)
    queue.end_claims(ONE)
    pairs = [(held.messages[0]["id"], held.id)]

    assert queue.delete_claimed(pairs) == pairs
    assert queue.free() == ["a"]


def test_a_renewed_claim_keeps_its_holder(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", "b")
    one, other = queue.claim(1, holder=ONE), queue.claim(1, holder=ONE)
    queue.renew(one.id)
    queue.renew_all([other.id])
    clock.advance(1)

    assert queue.end_claims(ONE) == 2


def test_a_claim_that_carries_acknowledgements_has_a_holder(queue: QueueHandle, driver: DataDriver) -> None:
    queue.post("a", "b")
    held = queue.claim(1, holder=ONE)
    pairs = [(held.messages[0]["id"], held.id)]
    refused, claim_id, messages = driver.claim_controller.ack_and_claim(
        queue.name, pairs, {"ttl": 60, "grace": 0, "holder": TWO}, queue.project
    )
    assert (list(refused), bodies(messages), claim_id is None) == ([], ["b"], False)

    assert queue.end_claims(ONE) == 0
    assert queue.end_claims(TWO) == 1


def test_a_claim_by_id_has_a_holder(queue: QueueHandle) -> None:
    (message_id,) = queue.post("a")
    queue.claim_by_id([message_id], holder=ONE)

    assert queue.end_claims(ONE) == 1


def test_the_messages_of_a_claim_whose_time_is_over_are_not_counted(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a")
    queue.claim(ttl=60, holder=ONE)
    clock.advance(60)

    assert queue.end_claims(ONE) == 0
    assert queue.free() == ["a"]


def test_a_message_that_was_claimed_as_often_as_it_may_dies_with_its_holder(queues: MakeQueue) -> None:
    dead = queues("dead")
    queue = queues("limited", _max_claim_count=1, _dead_letter_queue="dead")
    queue.post("a")
    queue.claim(holder=ONE)
    queue.end_claims(ONE)

    assert bodies(queue.claim()) == []
    assert dead.free() == ["a"]


def test_many_claims_are_renewed_at_once(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", "b", "c")
    held = [queue.claim(1, ttl=ttl) for ttl in (10, 60, 60)]
    clock.advance(10)

    assert queue.renew_all([claim.id for claim in held], ttl=60) == [held[0].id]

    clock.advance(59)
    assert queue.free() == ["a"]
    assert [queue.claim_of(claim.id)[0]["age"] for claim in held[1:]] == [59, 59]
    clock.advance(1)
    assert queue.free() == ["a", "b", "c"]


def test_claims_of_many_queues_are_renewed_at_once(queues: MakeQueue, driver: DataDriver, clock: ManualClock) -> None:
    made = [queues("q"), queues("q", project="p"), queues("other")]
    claims = []
    for queue in made:
        queue.post("a")
        claims.append((queue.project, queue.name, str(queue.claim(ttl=60).id)))
    claims.append((None, "absent", claims[0][2]))
    claims.append((None, "other", claims[0][2]))
    clock.advance(30)

    assert set(driver.claim_controller.renew(claims, {"ttl": 60, "grace": 0})) == set(claims[3:])

    clock.advance(59)
    assert [queue.free() for queue in made] == [[], [], []]


def test_a_message_outlives_its_renewed_claims(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", "b", ttl=10)
    held = [queue.claim(1, ttl=60, grace=5), queue.claim(1, ttl=60, grace=5)]
    clock.advance(30)
    assert queue.renew_all([claim.id for claim in held], ttl=60, grace=5) == []
    clock.advance(59)

    assert [queue.claimed_by(claim) for claim in held] == [["a"], ["b"]]
    clock.advance(5)
    assert queue.free() == ["a", "b"]
    clock.advance(1)
    assert queue.all() == []


def test_nothing_to_renew_and_nothing_to_end(driver: DataDriver) -> None:
    assert list(driver.claim_controller.renew([], {"ttl": 60, "grace": 0})) == []
    assert driver.claim_controller.end_claims(ONE, []) == 0
