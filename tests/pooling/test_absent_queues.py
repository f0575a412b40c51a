from __future__ import annotations

import pytest

from kombu_pool import errors


@pytest.mark.parametrize(
    "call",
    [
        lambda driver: driver.message_controller.post("q", [{"ttl": 60, "body": 1}], None),
        lambda driver: driver.message_controller.get("q", "1"),
        lambda driver: driver.message_controller.first("q"),
        lambda driver: driver.queue_controller.stats("q"),
        lambda driver: driver.queue_controller.get("q"),
        lambda driver: driver.queue_controller.get_metadata("q"),
        lambda driver: driver.queue_controller.set_metadata("q", {}),
    ],
)
def test_an_absent_queue_is_said_to_be_absent(pooled, call):
    with pytest.raises(errors.QueueDoesNotExist) as raised:
        call(pooled)

    assert raised.value.queue == "q"
    assert not pooled.control.catalogue_controller.exists(None, "q")


@pytest.mark.parametrize(
    "call",
    [
        lambda driver: driver.subscription_controller.get("q", "1"),
        lambda driver: driver.subscription_controller.get_with_subscriber("q", "1"),
        lambda driver: driver.subscription_controller.update("q", "1", ttl=60),
        lambda driver: driver.subscription_controller.confirm("q", "1"),
    ],
)
def test_a_subscription_to_an_absent_queue_is_said_to_be_absent(pooled, call):
    with pytest.raises(errors.SubscriptionDoesNotExist) as raised:
        call(pooled)

    assert raised.value.subscription_id == "1"
    assert not pooled.control.catalogue_controller.exists(None, "q")


def test_a_subscription_assigns_its_queue(pooled):
    made = pooled.subscription_controller.create("q", "s", 60, {})
    pool = pooled.control.catalogue_controller.get(None, "q")["pool"]

    assert pooled.queue_controller.create("q")
    assert pooled.control.catalogue_controller.get(None, "q")["pool"] == pool
    assert pooled.subscription_controller.exists("q", made)


def test_the_deletion_of_an_absent_queue_ends_its_assignment(pooled):
    pooled.subscription_controller.create("q", "s", 60, {})

    pooled.queue_controller.delete("q")

    assert not pooled.control.catalogue_controller.exists(None, "q")
    assert pooled.subscription_controller.create("q", "s", 60, {}) is not None


def test_an_absent_queue_has_nothing(pooled):
    messages, claims, subscriptions = (
        pooled.message_controller,
        pooled.claim_controller,
        pooled.subscription_controller,
    )

    for pages in (messages.list("q"), subscriptions.list("q")):
        assert list(next(pages)) == []
        assert not next(pages)
    assert list(messages.bulk_get("q", ["1"])) == []
    assert list(messages.pop("q", 5)) == []
    assert messages.delete("q", "1") is None
    assert messages.bulk_delete("q", ["1"]) is None
    assert list(messages.delete_claimed("q", [("1", "c")])) == [("1", "c")]
    assert messages.purge("q") == 0
    assert messages.count("q") == 0
    assert claims.create("q", {"ttl": 60, "grace": 60}) == (None, [])
    assert claims.delete("q", "c") is None
    assert claims.release("q", "c", ["1"]) == 0
    assert subscriptions.exists("q", "1") is False
    assert subscriptions.delete("q", "1") is None


def test_an_absent_queue_has_no_claims(pooled):
    with pytest.raises(errors.ClaimDoesNotExist):
        pooled.claim_controller.get("q", "c")
    with pytest.raises(errors.ClaimDoesNotExist):
        pooled.claim_controller.update("q", "c", {"ttl": 60, "grace": 60})
