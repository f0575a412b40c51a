"""Incarnations of queues in a store: each operation that names one is refused for any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu_pool import errors
from kombu_pool.model import NO_INCARNATION

if TYPE_CHECKING:
    from kombu_pool.model import ClaimMetadata, NewMessage
    from kombu_pool.storage import DataDriver
    from kombu_pool.testing.backend import Backend

MESSAGE: NewMessage = {"ttl": 300, "body": "body"}
CLAIM: ClaimMetadata = {"ttl": 60, "grace": 60}


@pytest.fixture
def data(leaf: Backend) -> DataDriver:
    return leaf.driver


def free(driver: DataDriver) -> int:
    return driver.message_controller.count("q")


def test_a_queue_bears_the_incarnation_that_it_was_created_with(data: DataDriver) -> None:
    assert data.queue_controller.create("q", incarnation="one")
    assert not data.queue_controller.create("q", incarnation="one")
    assert not data.queue_controller.create("q")

    with pytest.raises(errors.IncarnationConflict) as raised:
        data.queue_controller.create("q", incarnation="two")

    assert (raised.value.queue, raised.value.project, raised.value.current) == ("q", None, "one")
    with pytest.raises(errors.IncarnationConflict):
        data.queue_controller.create("q", incarnation="three", replaces="two")


def test_a_queue_without_an_incarnation_bears_none(data: DataDriver) -> None:
    data.queue_controller.create("q")

    with pytest.raises(errors.IncarnationConflict) as raised:
        data.queue_controller.create("q", incarnation="one")

    assert raised.value.current == NO_INCARNATION
    assert data.message_controller.post("q", [MESSAGE], None, incarnation=NO_INCARNATION)
    assert data.queue_controller.create("q", {"a": 1}, incarnation="one", replaces=NO_INCARNATION)
    assert data.queue_controller.get("q") == {"a": 1}
    assert free(data) == 1


def test_a_queue_with_another_incarnation_keeps_its_messages(leaf: Backend) -> None:
    data, other = leaf.driver, leaf.another()
    data.queue_controller.create("q", {"a": 1}, incarnation="one")
    data.message_controller.post("q", [MESSAGE, MESSAGE], None, incarnation="one")
    claim, _ = data.claim_controller.create("q", CLAIM, limit=1, incarnation="one")
    assert claim is not None

    assert other.queue_controller.create("q", {"a": 2}, incarnation="two", replaces="one")

    with pytest.raises(errors.QueueDoesNotExist):
        data.message_controller.post("q", [MESSAGE], None, incarnation="one")
    assert data.queue_controller.get("q") == {"a": 2}
    assert len(data.claim_controller.get("q", claim)[1]) == 1
    assert len(data.claim_controller.create("q", CLAIM, incarnation="two")[1]) == 1


def test_a_post_to_another_incarnation_is_refused_and_stores_nothing(leaf: Backend) -> None:
    data, other = leaf.driver, leaf.another()
    data.queue_controller.create("q", incarnation="one")
    assert len(data.message_controller.post("q", [MESSAGE], None, incarnation="one")) == 1
    assert len(data.message_controller.post("q", [MESSAGE], None)) == 1

    for incarnation in ("two", NO_INCARNATION):
        with pytest.raises(errors.QueueDoesNotExist) as raised:
            data.message_controller.post("q", [MESSAGE], None, incarnation=incarnation)
        assert (raised.value.queue, raised.value.project) == ("q", None)
    assert free(data) == 2
    other.queue_controller.delete("q")
    other.queue_controller.create("q", incarnation="two")
    with pytest.raises(errors.QueueDoesNotExist):
        data.message_controller.post("q", [MESSAGE], None, incarnation="one")

    assert free(data) == 0


@pytest.mark.parametrize("metadata", [{"_max_length": 1}, {"_max_length": 1, "_overflow": "reject-publish"}])
def test_a_post_to_a_bounded_queue_is_refused_likewise(data: DataDriver, metadata: dict[str, object]) -> None:
    data.queue_controller.create("q", metadata, incarnation="one")
    data.message_controller.post("q", [MESSAGE], None, incarnation="one")

    with pytest.raises(errors.QueueDoesNotExist):
        data.message_controller.post("q", [MESSAGE], None, incarnation="two")

    assert free(data) == 1


def test_a_claim_in_another_incarnation_is_refused_and_claims_nothing(data: DataDriver) -> None:
    with pytest.raises(errors.QueueDoesNotExist):
        data.claim_controller.create("q", CLAIM, incarnation="one")
    data.queue_controller.create("q", incarnation="one")
    assert data.claim_controller.create("q", CLAIM, incarnation="one") == (None, [])
    data.message_controller.post("q", [MESSAGE], None)

    with pytest.raises(errors.QueueDoesNotExist):
        data.claim_controller.create("q", CLAIM, incarnation="two")

    assert free(data) == 1
    assert len(data.claim_controller.create("q", CLAIM, incarnation="one")[1]) == 1


def test_an_ack_and_claim_in_another_incarnation_does_neither(data: DataDriver) -> None:
    data.queue_controller.create("q", incarnation="one")
    data.message_controller.post("q", [MESSAGE, MESSAGE], None)
    claim, held = data.claim_controller.create("q", CLAIM, limit=1, incarnation="one")
    assert claim is not None
    pairs = [(held[0]["id"], claim)]

    with pytest.raises(errors.QueueDoesNotExist):
        data.claim_controller.ack_and_claim("q", pairs, CLAIM, incarnation="two")

    assert free(data) == 1
    assert len(data.claim_controller.get("q", claim)[1]) == 1
    refused, _, messages = data.claim_controller.ack_and_claim("q", pairs, CLAIM, incarnation="one")
    assert (list(refused), len(messages)) == ([], 1)


def test_a_deletion_in_a_pool_takes_its_own_incarnation_only(data: DataDriver) -> None:
    data.queue_controller.create("q", incarnation="two")
    data.message_controller.post("q", [MESSAGE], None)

    data.queue_controller.delete("q", incarnation="one")
    data.queue_controller.delete("absent", incarnation="one")
    assert free(data) == 1
    data.queue_controller.delete("q", incarnation="two")

    assert not data.queue_controller.exists("q")
