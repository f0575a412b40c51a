"""Commands for one queue go to one shard, if the collections are sharded by project and queue.

There is no sharded cluster here. The tests check what a router checks: whether a filter has ``p`` and ``q``.
"""

from __future__ import annotations

import pytest

from kombu_pool.model import IdempotencyKey
from kombu_pool.testing import QueueHandle, ids

SHARDED = ("messages", "queues", "subscriptions")
DEAD_LETTERS = {"_dead_letter_queue": "dlq", "_dead_letter_expired": True}


@pytest.fixture
def unsharded(profiled):
    """Return a function that returns the commands of an action that a router would send to every shard."""

    def ask(action):
        found = [
            one
            for one in profiled(action)
            if one["op"] not in ("insert", "getmore") and "createIndexes" not in one["command"]
        ]
        assert found
        return [one["command"] for one in found if not all(names_a_shard(where) for where in filters_of(one))]

    return ask


def filters_of(profile):
    """Return the filters of a profiled command for documents of sharded collections."""
    command, collection = profile["command"], profile["ns"].rpartition("kombu_pool_")[2]
    if "pipeline" in command:
        return filters_in(collection, command["pipeline"])
    if collection not in SHARDED:
        return []
    return [next((command[name] for name in ("q", "filter", "query") if name in command), {})]


def filters_in(collection, pipeline):
    """Return the filters of the first stage of a pipeline and of the pipelines in its unions."""
    others = [stage["$unionWith"] for stage in pipeline if "$unionWith" in stage]
    found = [
        one for other in others for one in filters_in(other["coll"].rpartition("kombu_pool_")[2], other["pipeline"])
    ]
    return [pipeline[0].get("$match", {}), *found] if collection in SHARDED else found


def names_a_shard(where):
    """Return whether a filter, or each of its alternatives, names a project and a queue, or several queues."""
    queues = where.get("q")
    if isinstance(where.get("p"), str) and (isinstance(queues, str) or "$in" in (queues or ())):
        return True
    parts = where.get("$or", ())
    return bool(parts) and all(names_a_shard(part) for part in parts)


def test_what_is_asked_of_all_shards_is_noticed(unsharded, queue, driver):
    """The collector asks all shards."""
    queue.post("a")

    assert unsharded(driver.gc)


def test_posts_are_for_one_shard(unsharded, queue):
    def work():
        queue.post("a")
        queue.post("b", "c")
        for _ in range(2):
            queue.post("d", idempotency_key=IdempotencyKey(b"one", 1))
            queue.post("e", "f", idempotency_key=IdempotencyKey(b"several", 1))

    assert not unsharded(work)


@pytest.mark.parametrize("overflow", ["drop-head", "reject-publish"])
def test_posts_to_what_may_get_too_long_are_for_one_shard(unsharded, driver, overflow):
    queue = QueueHandle(driver, "short", "p")
    queue.create(_max_length=4, _overflow=overflow)

    def work():
        for _ in range(2):
            queue.post("a", "b", idempotency_key=IdempotencyKey(b"several", 1))
        queue.post("c", "d")
        if overflow == "drop-head":
            queue.post("e", "f")

    assert not unsharded(work)


def test_claims_are_for_one_shard(unsharded, queue, clock):
    queue.post(*range(20))
    queue.post(*range(5), delay=5)

    def work():
        held = queue.claim(limit=5)
        queue.claim_of(held.id)
        queue.renew(held.id)
        queue.release(held.id, ids(held)[:1])
        queue.delete_claimed([(one, held.id) for one in ids(held)[1:3]])
        queue.delete(ids(held)[3], held.id)
        queue.end(held.id)
        queue.end(queue.claim_by_id(ids(held)[:1]).id)
        queue.claim(limit=3, ttl=60)
        clock.advance(100)
        assert len(queue.claim(limit=50).messages) > 10

    assert not unsharded(work)


def test_renewals_and_ends_of_many_claims_are_for_their_shards(unsharded, driver):
    scopes = [(project, name) for project in ("p", "other") for name in ("a", "b")]
    claims = []
    for project, name in scopes:
        queue = QueueHandle(driver, name, project)
        queue.create()
        queue.post(*range(4))
        claims += [(project, name, queue.claim(limit=2, holder="holder").id) for _ in range(2)]

    def work():
        assert driver.claim_controller.renew(claims, {"ttl": 60, "grace": 0}) == []
        assert driver.claim_controller.end_claims("holder", scopes) == 16

    assert not unsharded(work)


def test_looks_and_deletions_are_for_one_shard(unsharded, queue):
    posted = queue.post(*range(10))

    def work():
        queue.page(limit=3)
        queue.get(posted[0])
        queue.get_all(posted[:2])
        queue.first()
        queue.count()
        queue.stats()
        queue.pop(2)
        queue.delete(posted[5])
        queue.delete_all(posted[6:8])
        queue.purge()

    assert not unsharded(work)


def test_queues_and_subscriptions_are_for_one_shard(unsharded, driver):
    queue = QueueHandle(driver, "another", "p")
    subscriptions = driver.subscription_controller

    def work():
        queue.create()
        driver.queue_controller.set_metadata("another", DEAD_LETTERS, "p")
        made = subscriptions.create("another", "http://example.org", 600, {}, "p")
        subscriptions.update("another", made, "p", ttl=700)
        subscriptions.confirm("another", made, "p", True)
        subscriptions.get("another", made, "p")
        list(next(subscriptions.list("another", "p")))
        subscriptions.delete("another", made, "p")
        queue.drop()

    assert not unsharded(work)


def test_a_deletion_of_many_queues_is_for_their_shards(unsharded, driver):
    named = [(project, name, "one") for project in ("p", "other") for name in ("a", "b")]
    for project, name, incarnation in named:
        driver.queue_controller.create(name, {}, project, incarnation=incarnation)

    assert not unsharded(lambda: driver.queue_controller.delete_many(named))


def test_burials_are_for_one_shard_each(unsharded, driver, clock):
    dlq, queue = (QueueHandle(driver, name, "p") for name in ("dlq", "queue"))
    dlq.create()
    queue.create(**DEAD_LETTERS)
    queue.post(*range(4))
    queue.post(*range(4), ttl=5)

    def work():
        queue.reject(queue.claim(limit=2))
        clock.advance(10)
        queue.claim(limit=1)

    assert not unsharded(work)
    assert dlq.count() == 6
