"""Acknowledging messages and claiming the next ones in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.testing.handles import bodies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.model import ClaimMetadata, Message
    from kombu_pool.testing.clock import ManualClock
    from kombu_pool.testing.handles import QueueHandle

TERMS: ClaimMetadata = {"ttl": 60, "grace": 60}


def ack_and_claim(
    queue: QueueHandle, held: list[tuple[str, str]], limit: int = 10
) -> tuple[Sequence[tuple[str, str]], str | None, Sequence[Message]]:
    """Return the pairs that were not deleted, the new claim's id and its messages."""
    return queue.driver.claim_controller.ack_and_claim(queue.name, held, TERMS, queue.project, limit)


def claim_pairs(queue: QueueHandle, limit: int = 10) -> list[tuple[str, str]]:
    """Claim messages, and return the ids of each message and of the claim."""
    claim_id, messages = queue.claim(limit, **TERMS)
    return [(message["id"], claim_id) for message in messages]


def test_what_is_held_goes_and_what_is_next_comes(queue: QueueHandle) -> None:
    queue.post("a", "b", "c", "d")
    held = claim_pairs(queue, limit=2)

    refused, claim_id, messages = ack_and_claim(queue, held)

    assert (list(refused), bodies(messages)) == ([], ["c", "d"])
    assert claim_id is not None
    assert bodies(queue.claim_of(claim_id)[1]) == ["c", "d"]
    assert bodies(queue.page(include_claimed=True)[0]) == ["c", "d"]


def test_with_nothing_held_it_lends(queue: QueueHandle) -> None:
    queue.post("a")

    refused, claim_id, messages = ack_and_claim(queue, [])

    assert (list(refused), bodies(messages)) == ([], ["a"])
    assert claim_id is not None


def test_with_nothing_to_lend_it_deletes(queue: QueueHandle) -> None:
    queue.post("a")
    held = claim_pairs(queue)

    assert ack_and_claim(queue, held) == ([], None, [])
    assert queue.page(include_claimed=True)[0] == []


def test_with_a_limit_of_0_it_only_deletes(queue: QueueHandle) -> None:
    queue.post("a", "b")
    held = claim_pairs(queue, limit=1)

    assert ack_and_claim(queue, held, limit=0) == ([], None, [])
    assert bodies(queue.page(include_claimed=True)[0]) == ["b"]


def test_what_the_claim_holds_no_more_is_told_and_lent_again(queue: QueueHandle, clock: ManualClock) -> None:
    queue.post("a", "b")
    held = claim_pairs(queue, limit=1)
    clock.advance(61)

    refused, _, messages = ack_and_claim(queue, held)

    assert list(refused) == held
    assert bodies(messages) == ["a", "b"]


def test_messages_of_several_claims_go_together(queue: QueueHandle) -> None:
    queue.post("a", "b", "c")
    held = [*claim_pairs(queue, limit=1), *claim_pairs(queue, limit=1)]

    refused, _, messages = ack_and_claim(queue, held)

    assert (list(refused), bodies(messages)) == ([], ["c"])


def test_ids_that_cannot_be_any_are_refused(queue: QueueHandle) -> None:
    queue.post("a")
    nonsense = [("no id", "no claim")]

    refused, _, messages = ack_and_claim(queue, nonsense)

    assert (list(refused), bodies(messages)) == (nonsense, ["a"])


def test_an_absent_queue_refuses_all_and_lends_nothing(absent: QueueHandle) -> None:
    held = [("0" * 16, "0" * 16)]

    refused, claim_id, messages = ack_and_claim(absent, held)

    assert (list(refused), claim_id, list(messages)) == (held, None, [])
