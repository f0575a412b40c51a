from __future__ import annotations

import pytest

from kombu_pool import errors
from kombu_pool.pooling import DataDriver
from kombu_pool.storage import UNREADABLE_QUEUE
from tests.support.pooling.switchable_stores import bodies, post

CLAIM_METADATA = {"ttl": 60, "grace": 60}


@pytest.fixture
def limited(populated):
    """The queue of-a, in pool a, with a delivery limit of 1 and the dead-letter queue of-b, in pool b."""
    populated.queue_controller.set_metadata("of-a", {"_max_claim_count": 1, "_dead_letter_queue": "of-b"})
    return populated


def claim_and_release(driver, queue="of-a"):
    claim_id, messages = driver.claim_controller.create(queue, CLAIM_METADATA)
    if claim_id:
        driver.claim_controller.delete(queue, claim_id)
    return [message["body"] for message in messages]


def test_a_dead_letter_goes_to_its_queue_in_another_pool(limited, stores):
    post(limited, "of-a", {"job": 1})
    assert claim_and_release(limited) == [{"job": 1}]

    assert claim_and_release(limited) == []

    assert bodies(stores.leaf("a"), "of-a") == []
    assert bodies(stores.leaf("b"), "of-b") == [{"job": 1}]
    dead_letter = limited.message_controller.first("of-b")
    assert dead_letter["dead_letter"]["queue"] == "of-a"
    assert dead_letter["dead_letter"]["count"] == 1
    assert dead_letter["claim_count"] == 0


def test_a_dead_letter_is_stored_there_before_it_is_removed_here(limited, stores, monkeypatch):
    post(limited, "of-a", 1)
    claim_and_release(limited)
    seen = []
    target = limited.catalog.lookup("of-b").message_controller
    real = target.post

    def post_there(*values, **options):
        seen.extend(bodies(stores.leaf("a"), "of-a"))
        return real(*values, **options)

    monkeypatch.setattr(target, "post", post_there, raising=False)
    claim_and_release(limited)

    assert seen == [1]
    assert bodies(limited, "of-a") == []


def test_a_dead_letter_whose_queue_is_nowhere_is_lent_all_the_same(populated):
    populated.queue_controller.set_metadata("of-a", {"_max_claim_count": 1, "_dead_letter_queue": "nowhere"})
    post(populated, "of-a", 1)
    claim_and_release(populated)

    assert claim_and_release(populated) == [1]
    assert bodies(populated, "of-a") == [1]


def test_a_dead_letter_queue_in_a_pool_that_is_down_stops_no_other_call(limited, stores):
    post(limited, "of-a", 1)
    claim_and_release(limited)
    stores.switch_off("b")
    during = claim_and_release(limited)
    stores.switch_on("b")

    after = claim_and_release(limited)

    assert during == [1]
    assert after == []
    assert bodies(limited, "of-b") == [1]


def test_an_outage_of_the_dead_letter_pool_is_not_counted_against_the_queues_own(limited, stores):
    post(limited, "of-a", 1)
    claim_and_release(limited)
    stores.switch_off("b")
    claim_and_release(limited)

    pools = limited.catalog.open_pools

    assert pools.peek("a").outage is None
    assert pools.peek("b").outage is not None


def test_two_pools_may_be_each_others_dead_letter_pools(limited):
    limited.queue_controller.set_metadata("of-b", {"_max_claim_count": 1, "_dead_letter_queue": "of-a"})
    post(limited, "of-a", "from a")
    post(limited, "of-b", "from b")
    for queue in ("of-a", "of-b"):
        claim_and_release(limited, queue)

    for queue in ("of-a", "of-b"):
        claim_and_release(limited, queue)

    assert sorted(bodies(limited, "of-a") + bodies(limited, "of-b")) == ["from a", "from b"]


def test_a_dead_letter_stays_within_its_project(populated):
    for project in (None, "p"):
        for queue, pool in (("work", "a"), ("dead", "b")):
            populated.control.catalogue_controller.insert(project, queue, pool)
            populated.queue_controller.create(
                queue, {"_max_claim_count": 1, "_dead_letter_queue": "dead"} if queue == "work" else None, project
            )
    post(populated, "work", 1, project="p")
    for _ in range(2):
        claim_id, _ = populated.claim_controller.create("work", CLAIM_METADATA, "p")
        if claim_id:
            populated.claim_controller.delete("work", claim_id, "p")

    assert bodies(populated, "dead", "p") == [1]
    assert bodies(populated, "dead") == []


def test_the_queue_of_unreadable_records_is_made_when_it_is_needed(populated):
    forward = populated.catalog.lookup("of-a").dead_letter_hooks.forward

    assert forward(None, UNREADABLE_QUEUE, {"ttl": 0, "body": {"record": b"?", "error": "why"}}) is True

    assert bodies(populated, UNREADABLE_QUEUE) == [{"record": b"?", "error": "why"}]
    assert populated.queue_controller.exists(UNREADABLE_QUEUE)


def test_a_dead_letter_that_the_other_pool_refuses_stays_where_it_is(limited, monkeypatch):
    post(limited, "of-a", 1)
    claim_and_release(limited)

    def refuse(*_, **__):
        raise errors.StoreFull("no space left")

    monkeypatch.setattr(limited.catalog.lookup("of-b").message_controller, "post", refuse, raising=False)

    assert claim_and_release(limited) == [1]


def test_a_dead_letter_finds_the_queue_that_was_declared_again_in_another_pool(limited, stores, control, clock):
    post(limited, "of-a", 1)
    claim_and_release(limited)
    limited.catalog.route("of-b")
    other = DataDriver(None, None, control, clock=clock)
    other.queue_controller.delete("of-b")
    control.catalogue_controller.insert(None, "of-b", "a")
    other.queue_controller.create("of-b")

    claim_and_release(limited)

    assert bodies(stores.leaf("a"), "of-b") == [1]
    assert bodies(stores.leaf("a"), "of-a") == []
