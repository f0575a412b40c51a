"""Giving up what is done for what is next, in one call."""

from __future__ import annotations

from tests.conformance.handles import bodies

TERMS = {"ttl": 60, "grace": 60}


def ack_and_claim(queue, held, limit=10):
    """Return the bodies that were not deleted for the held ones, the claim and the messages."""
    return queue.driver.claim_controller.ack_and_claim(queue.name, held, TERMS, queue.project, limit)


def lend(queue, limit=10):
    return queue.driver.claim_controller.create(queue.name, TERMS, queue.project, limit)


def pairs(claim_id, messages):
    return [(message["id"], claim_id) for message in messages]


def test_what_is_held_goes_and_what_is_next_comes(queue):
    queue.post("a", "b", "c", "d")
    held = pairs(*lend(queue, limit=2))

    refused, claim_id, messages = ack_and_claim(queue, held)

    assert (list(refused), bodies(messages)) == ([], ["c", "d"])
    assert bodies(queue.driver.claim_controller.get(queue.name, claim_id, queue.project)[1]) == ["c", "d"]
    assert bodies(queue.page(include_claimed=True)[0]) == ["c", "d"]


def test_with_nothing_held_it_lends(queue):
    queue.post("a")

    refused, claim_id, messages = ack_and_claim(queue, [])

    assert (list(refused), bodies(messages)) == ([], ["a"])
    assert claim_id is not None


def test_with_nothing_to_lend_it_deletes(queue):
    queue.post("a")
    held = pairs(*lend(queue))

    assert ack_and_claim(queue, held) == ([], None, [])
    assert queue.page(include_claimed=True)[0] == []


def test_with_a_limit_of_0_it_only_deletes(queue):
    queue.post("a", "b")
    held = pairs(*lend(queue, limit=1))

    assert ack_and_claim(queue, held, limit=0) == ([], None, [])
    assert bodies(queue.page(include_claimed=True)[0]) == ["b"]


def test_what_the_claim_holds_no_more_is_told_and_lent_again(queue, clock):
    queue.post("a", "b")
    held = pairs(*lend(queue, limit=1))
    clock.advance(61)

    refused, _, messages = ack_and_claim(queue, held)

    assert list(refused) == held
    assert bodies(messages) == ["a", "b"]


def test_messages_of_several_claims_go_together(queue):
    queue.post("a", "b", "c")
    held = [*pairs(*lend(queue, limit=1)), *pairs(*lend(queue, limit=1))]

    refused, _, messages = ack_and_claim(queue, held)

    assert (list(refused), bodies(messages)) == ([], ["c"])


def test_ids_that_cannot_be_any_are_refused(queue):
    queue.post("a")
    nonsense = [("no id", "no claim")]

    refused, _, messages = ack_and_claim(queue, nonsense)

    assert (list(refused), bodies(messages)) == (nonsense, ["a"])


def test_an_absent_queue_refuses_all_and_lends_nothing(absent):
    held = [("0" * 16, "0" * 16)]

    refused, claim_id, messages = ack_and_claim(absent, held)

    assert (list(refused), claim_id, list(messages)) == (held, None, [])
