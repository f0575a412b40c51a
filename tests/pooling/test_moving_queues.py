"""A queue that is moving, as producers, consumers and operators see it."""

from __future__ import annotations

import threading

import pytest

from kombu_pool import errors
from kombu_pool.model import Uniqueness
from kombu_pool.moves import COPYING, DRAINING, MOVED
from kombu_pool.storage.idempotency import ProducerSequence
from kombu_pool.testing import bodies
from kombu_pool.testing.handles import ClaimResult
from tests.support.pooling.moves import plan, step, step_to

pytestmark = pytest.mark.usefixtures("no_wait")

CLAIM = {"ttl": 60, "grace": 0}


def test_a_claim_is_settled_where_it_was_made(queue, other, stores):
    queue.post(*"abcdef")
    held = other.claim(limit=6)
    found = step_to(queue, DRAINING)

    first, second, third, fourth, *_ = ((message["id"], held.id) for message in held.messages)
    assert other.delete_claimed([first]) == []
    assert queue.delete_claimed([second]) == []
    queue.delete(*third)
    queue.renew(held.id)
    assert queue.renew_all([held.id]) == []
    assert queue.release(held.id, [fourth[0]]) == 1
    assert queue.claimed_by(held) == ["e", "f"]
    assert queue.stats()["claimed"] == 2
    assert step(queue).move.phase == DRAINING
    assert bodies(queue.claim(limit=1)) == ["d"]
    queue.end(held.id)
    assert sorted(queue.free()) == ["e", "f"]
    assert found.move.copied == 0
    while queue.driver.catalog.moves.find("of-a").move.phase != MOVED:
        step(queue)
        if claim := queue.claim(limit=1).id:
            queue.delete_claimed([(message["id"], claim) for message in queue.claim_of(claim)[1]])
        for message in queue.get_all([fourth[0]]):
            queue.delete(message["id"], message["claim_id"])


def test_reads_show_both_pools_while_a_queue_moves(queue, other):
    queue.post("a", "b", key="k")
    queue.post("later", delay=10)
    step_to(queue, DRAINING, copies=False)
    other.post("c", "d")

    assert other.free() == ["a", "b", "c", "d"]
    assert other.count() == 4
    assert other.stats()["total"] == 5
    assert other.delayed() == ["later"]
    counts = other.driver.message_controller.count_many([(None, "of-a")])
    assert [(one.free, one.delayed, one.claimed) for one in counts] == [(4, 1, 0)]
    assert [message["body"] for message in other.find("k")] == ["a", "b"]
    listed, marker = other.page(limit=3)
    rest, marker = other.page(limit=3, marker=marker)
    assert bodies([*listed, *rest]) == ["a", "b", "c", "d"]
    assert other.page(limit=3, marker=marker)[1] == ""
    assert other.first()["body"] == "a"
    assert other.first(-1)["body"] == "d"
    assert len(other.cancel("k").messages) == 2
    assert other.purge() == 3


def test_a_listing_that_ends_in_the_source_goes_on_in_the_target(queue, other):
    queue.post("a", "b")
    step_to(queue, DRAINING, copies=False)
    other.post("c")

    pages, marker = [], None
    while True:
        page, marker = other.page(limit=1, marker=marker)
        if not page:
            break
        pages += bodies(page)

    assert pages == ["a", "b", "c"]


def test_a_pause_goes_along_and_stops_both_pools(queue, other):
    queue.post("a")
    queue.pause()
    step_to(queue, DRAINING)

    assert queue.is_paused()
    assert other.claim().id is None
    other.resume()
    assert bodies(other.claim()) == ["a"]


def test_metadata_counters_and_subscriptions_go_along(queue, populated, stores):
    populated.queue_controller.set_metadata("of-a", {"mine": 1})
    subscription = populated.subscription_controller.create("of-a", "http://subscriber", 0, {"option": 2})
    queue.post("a")
    populated.send_counters()

    step_to(queue, MOVED)
    queue.post("b")
    populated.send_counters()

    assert populated.queue_controller.get("of-a") == {"mine": 1}
    assert stores.leaf("b").queue_controller.get("of-a") == {"mine": 1}
    assert populated.subscription_controller.get("of-a", subscription)["options"] == {"option": 2}
    assert populated.control.counters()[None, "of-a"]["published"] == 2


def test_a_unique_message_is_dropped_while_its_id_is_held_in_the_source(queue, other):
    (held,) = queue.post("first", unique=Uniqueness("u", "unfinished"), key="k1")
    step_to(queue, DRAINING, copies=False)

    dropped = other.post("second", unique=Uniqueness("u", "unfinished"), key="k2")
    replacing = other.post("third", unique=Uniqueness("u", "unfinished", "replace"), key="k3")

    assert dropped == [held]
    assert replacing != [held]
    assert other.free() == ["third"]


def test_a_message_that_is_gone_is_not_replaced_while_its_id_is_held_for_a_time(queue, other):
    (held,) = queue.post("first", unique=Uniqueness("u", 100.0))
    queue.pop()
    step_to(queue, DRAINING, copies=False)

    assert other.post("second", unique=Uniqueness("u", 100.0, "replace")) == [held]
    assert other.free() == []


def test_the_retry_of_a_post_whose_answer_was_lost_is_stored_once(queue, other, stores, monkeypatch):
    key = ProducerSequence().next_key()
    messages = stores.opened_as("a")[-1].message_controller
    post = type(messages).post if hasattr(type(messages), "post") else None
    handle = other.driver.catalog.open_pools.get("a")
    stored = handle.messages.post

    def lose(*args, **kwargs):
        stored(*args, **kwargs)
        raise errors.ConnectionError("connection reset")

    assert post is None or callable(post)
    with monkeypatch.context() as patch:
        patch.setattr(handle.messages, "post", lose)
        with pytest.raises(errors.PoolUnavailable):
            other.post("once", idempotency_key=key)
    handle.mark_up()
    step_to(queue, MOVED)

    ids = other.post("once", idempotency_key=key)

    assert len(ids) == 1
    assert queue.free() == ["once"]


def test_a_watch_wakes_for_both_pools(queue, other):
    step_to(queue, DRAINING, copies=False)
    watch = other.driver.watch([(None, "of-a")])

    other.post("new")

    assert watch.wait(5)
    watch.close()


def test_a_consumer_with_the_old_incarnation_goes_on_with_the_new_one(queue, other):
    queue.post("a")
    lives = other.driver.catalog.lives
    before = other.driver.catalog.route("of-a").incarnation
    step_to(queue, MOVED)

    claims = other.driver.claim_controller
    with pytest.raises(errors.QueueDoesNotExist):
        claims.create("of-a", CLAIM, incarnation=before)
    _, after = lives.current("of-a", None, before)

    assert bodies(ClaimResult(*claims.create("of-a", CLAIM, incarnation=after))) == ["a"]


def test_the_live_claims_of_both_pools_are_shown(queue, other):
    queue.post("a", "b")
    first = queue.claim(limit=1)
    step_to(queue, DRAINING, copies=False)
    other.post("c")
    second, third = other.claim(limit=1), other.claim(limit=1)

    shown = other.driver.claim_controller.live_claims("of-a")

    assert {claim.id for claim in shown} == {first.id, second.id, third.id}
    assert len(other.driver.claim_controller.live_claims("of-a", None, 1)) == 1


@pytest.mark.parametrize("steps", range(3))
def test_what_is_changed_while_a_queue_moves_goes_along(queue, other, populated, stores, monkeypatch, steps):
    plan(queue)
    for _ in range(steps):
        step(queue)
    handle = other.driver.catalog.open_pools.get("a")
    pause = handle.queues.pause

    def pause_late(*args):
        while queue.driver.catalog.moves.find("of-a").pool == "a":
            step(queue)
        pause(*args)

    monkeypatch.setattr(handle.queues, "pause", pause_late)

    other.pause()
    other.driver.queue_controller.set_metadata("of-a", {"mine": 2})
    other.driver.subscription_controller.create("of-a", "http://subscriber", 0, {})

    step_on(queue)
    leaf = stores.leaf("b")
    assert "paused" in leaf.queue_controller.stats("of-a")
    assert leaf.queue_controller.get("of-a") == {"mine": 2}
    assert len([*next(leaf.subscription_controller.list("of-a"))]) == 1


def step_on(queue):
    while queue.driver.catalog.moves.find("of-a").move.phase != MOVED:
        step(queue)


def test_a_watch_does_not_wake_for_each_batch_of_a_copy_but_for_its_end(queue, other, clock):
    queue.post("a", "b")
    step_to(queue, COPYING)
    other.post("new")
    watch = other.driver.watch([(None, "of-a")])
    other.post("newer")

    assert not watch.wait(0.3)
    threading.Timer(0.1, step, [queue]).start()
    assert watch.wait(5)
    assert bodies(other.claim(limit=1)) == ["a"]
    watch.close()
