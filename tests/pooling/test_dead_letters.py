from __future__ import annotations

import pytest

from kombu_pool import errors
from kombu_pool.storage import UNREADABLE_QUEUE
from tests.support.pooling.switchable_stores import bodies, post

LENDING = {"ttl": 60, "grace": 60}


@pytest.fixture
def strict(settled):
    """A queue in pool a whose messages are lent once, and then go to of-b, in pool b."""
    settled.queue_controller.set_metadata("of-a", {"_max_claim_count": 1, "_dead_letter_queue": "of-b"})
    return settled


def lend_and_release(driver, queue="of-a"):
    claim_id, messages = driver.claim_controller.create(queue, LENDING)
    if claim_id:
        driver.claim_controller.delete(queue, claim_id)
    return [message["body"] for message in messages]


def test_a_dead_letter_goes_to_its_queue_in_another_pool(strict, stores):
    post(strict, "of-a", {"job": 1})
    assert lend_and_release(strict) == [{"job": 1}]

    assert lend_and_release(strict) == []

    assert bodies(stores.leaf("a"), "of-a") == []
    assert bodies(stores.leaf("b"), "of-b") == [{"job": 1}]
    letter = strict.message_controller.first("of-b")
    assert letter["dead_letter"]["queue"] == "of-a"
    assert letter["dead_letter"]["count"] == 1
    assert letter["claim_count"] == 0


def test_a_dead_letter_is_stored_there_before_it_is_removed_here(strict, stores, monkeypatch):
    post(strict, "of-a", 1)
    lend_and_release(strict)
    seen = []
    target = strict.catalog.lookup("of-b").message_controller
    real = target.post

    def post_there(*values):
        seen.extend(bodies(stores.leaf("a"), "of-a"))
        return real(*values)

    monkeypatch.setattr(target, "post", post_there, raising=False)
    lend_and_release(strict)

    assert seen == [1]
    assert bodies(strict, "of-a") == []


def test_a_dead_letter_whose_queue_is_nowhere_is_lent_all_the_same(settled):
    settled.queue_controller.set_metadata("of-a", {"_max_claim_count": 1, "_dead_letter_queue": "nowhere"})
    post(settled, "of-a", 1)
    lend_and_release(settled)

    assert lend_and_release(settled) == [1]
    assert bodies(settled, "of-a") == [1]


def test_a_dead_letter_queue_in_a_pool_that_is_down_stops_nobody(strict, stores):
    post(strict, "of-a", 1)
    lend_and_release(strict)
    stores.switch_off("b")
    during = lend_and_release(strict)
    stores.switch_on("b")

    after = lend_and_release(strict)

    assert during == [1]
    assert after == []
    assert bodies(strict, "of-b") == [1]


def test_an_outage_of_the_dead_letter_pool_is_not_counted_against_the_queues_own(strict, stores):
    post(strict, "of-a", 1)
    lend_and_release(strict)
    stores.switch_off("b")
    lend_and_release(strict)

    pools = strict.catalog.open_pools

    assert pools.peek("a").outage is None
    assert pools.peek("b").outage is not None


def test_two_pools_may_be_each_others_dead_letter_pools(strict):
    strict.queue_controller.set_metadata("of-b", {"_max_claim_count": 1, "_dead_letter_queue": "of-a"})
    post(strict, "of-a", "from a")
    post(strict, "of-b", "from b")
    for queue in ("of-a", "of-b"):
        lend_and_release(strict, queue)

    for queue in ("of-a", "of-b"):
        lend_and_release(strict, queue)

    assert sorted(bodies(strict, "of-a") + bodies(strict, "of-b")) == ["from a", "from b"]


def test_a_dead_letter_stays_within_its_project(settled):
    for project in (None, "p"):
        for queue, pool in (("work", "a"), ("dead", "b")):
            settled.control.catalogue_controller.insert(project, queue, pool)
            settled.queue_controller.create(
                queue, {"_max_claim_count": 1, "_dead_letter_queue": "dead"} if queue == "work" else None, project
            )
    post(settled, "work", 1, project="p")
    for _ in range(2):
        claim_id, _ = settled.claim_controller.create("work", LENDING, "p")
        if claim_id:
            settled.claim_controller.delete("work", claim_id, "p")

    assert bodies(settled, "dead", "p") == [1]
    assert bodies(settled, "dead") == []


def test_the_queue_of_unreadable_records_is_made_when_it_is_needed(settled):
    forward = settled.catalog.lookup("of-a").dead_letter_hooks.forward

    assert forward(None, UNREADABLE_QUEUE, {"ttl": 0, "body": {"record": b"?", "error": "why"}}) is True

    assert bodies(settled, UNREADABLE_QUEUE) == [{"record": b"?", "error": "why"}]
    assert settled.queue_controller.exists(UNREADABLE_QUEUE)


def test_a_dead_letter_that_the_other_pool_refuses_stays_where_it_is(strict, monkeypatch):
    post(strict, "of-a", 1)
    lend_and_release(strict)

    def refuse(*_):
        raise errors.StoreFull("no space left")

    monkeypatch.setattr(strict.catalog.lookup("of-b").message_controller, "post", refuse, raising=False)

    assert lend_and_release(strict) == [1]
