"""Moves of queues between pools: each step, what producers and consumers see meanwhile, and processes that stop."""

from __future__ import annotations

import pytest

from kombu_pool import errors
from kombu_pool.model import ACTIVE, MOVING, Expiry, Uniqueness
from kombu_pool.moves import COPYING, DRAINING, MOVED, PLANNED
from kombu_pool.pooling import DataDriver, queue_lives
from kombu_pool.storage import IDEMPOTENCY_WINDOW
from kombu_pool.storage.idempotency import ProducerSequence
from kombu_pool.testing import bodies
from kombu_pool.testing.handles import ClaimResult, QueueHandle

CLAIM = {"ttl": 60, "grace": 0}


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch):
    """Let no process wait for another one that moves a queue."""
    monkeypatch.setattr(queue_lives, "_FIRST_WAIT", 0.0)


@pytest.fixture
def queue(populated):
    """A queue in pool a."""
    return QueueHandle(populated, "of-a", None)


@pytest.fixture
def other(populated, clock):
    """The same queue as another process knows it: in its cache since before the move."""
    driver = DataDriver(None, None, populated.control, clock=clock)
    driver.catalog.route("of-a")
    yield QueueHandle(driver, "of-a", None)
    driver.close()


def plan(queue, *, copies=True, target="b"):
    return queue.driver.catalog.moves.plan(queue.name, queue.project, target, copies=copies, holder="mover")


def step(queue):
    """Make the next step; return the assignment after it."""
    moves = queue.driver.catalog.moves
    return moves.step(queue.name, queue.project, moves.find(queue.name, queue.project))


def step_to(queue, phase, *, copies=True):
    """Move a queue up to a phase."""
    found = plan(queue, copies=copies)
    while found.move.phase != phase:
        found = step(queue)
    return found


def free_in(stores, pool, name="of-a"):
    return QueueHandle(stores.leaf(pool), name, None).free()


def test_a_queue_moves_with_its_messages(queue, other, stores):
    queue.post("one", "two")

    found = step_to(queue, MOVED)

    assert (found.pool, found.state) == ("b", ACTIVE)
    assert found.move.copied == 2
    assert queue.free() == ["one", "two"]
    assert (free_in(stores, "a"), free_in(stores, "b")) == ([], ["one", "two"])
    other.post("three")
    assert bodies(other.claim()) == ["one", "two", "three"]
    assert queue.driver.catalog.pool_of("of-a") == "b"


def test_each_phase_follows_the_one_before(queue):
    queue.post("one")

    found = plan(queue)
    seen = [(found.state, found.move.phase, found.pool)]
    while found.move.phase != MOVED:
        found = step(queue)
        seen.append((found.state, found.move.phase, found.pool))

    assert seen == [
        (ACTIVE, PLANNED, "a"), (MOVING, PLANNED, "a"), (ACTIVE, COPYING, "b"), (ACTIVE, DRAINING, "b"),
        (ACTIVE, MOVED, "b"),
    ]  # fmt: skip


@pytest.mark.parametrize("steps", range(5))
@pytest.mark.parametrize("copies", [True, False])
def test_after_each_step_producers_and_consumers_that_know_of_none_go_on(queue, other, steps, copies):
    queue.post("before")
    plan(queue, copies=copies)
    for _ in range(steps):
        step(queue)

    other.post("after")

    while queue.driver.catalog.moves.find("of-a").move.phase == PLANNED:
        step(queue)
    while queue.driver.catalog.moves.find("of-a").move.phase == COPYING:
        step(queue)
    claimed = [other.claim(limit=1), other.claim(limit=1)]
    assert [body for claim in claimed for body in bodies(claim)] == ["before", "after"]
    for claim in claimed:
        assert other.delete_claimed([(claim.messages[0]["id"], claim.id)]) == []
    while queue.driver.catalog.moves.find("of-a").move.phase != MOVED:
        step(queue)
    assert queue.all() == []


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


def test_consumers_get_nothing_while_messages_are_copied_so_that_the_order_stays(queue, other):
    queue.post("old")
    step_to(queue, COPYING)
    other.post("new")

    assert other.claim().id is None

    step(queue)
    assert bodies(other.claim()) == ["old", "new"]


def test_a_drained_queue_gives_its_own_messages_first_and_its_delayed_ones_are_copied(queue, other, stores, clock):
    queue.post("old")
    queue.post("later", delay=100)
    step_to(queue, DRAINING, copies=False)
    other.post("new")

    step(queue)

    assert QueueHandle(stores.leaf("b"), "of-a", None).delayed() == ["later"]
    assert free_in(stores, "a") == ["old"]
    first, second = other.claim(), other.claim()
    assert (bodies(first), bodies(second)) == (["old"], ["new"])
    for claim in (first, second):
        other.delete_claimed([(claim.messages[0]["id"], claim.id)])
    assert step(queue).move.phase == MOVED
    clock.advance(101)
    assert bodies(other.claim()) == ["later"]


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


@pytest.mark.parametrize("steps", range(6))
def test_a_deleted_queue_is_gone_from_both_pools_after_each_step(queue, other, stores, steps):
    queue.post("a")
    plan(queue)
    for _ in range(steps):
        step(queue)

    other.drop()

    for pool in ("a", "b"):
        assert not stores.leaf(pool).queue_controller.exists("of-a")
    assert queue.driver.control.catalogue_controller.find(None, "of-a") is None
    assert queue.create()
    assert queue.free() == []


@pytest.mark.parametrize("steps", range(6))
def test_a_declaration_finds_a_moving_queue(queue, other, steps):
    plan(queue)
    for _ in range(steps):
        step(queue)

    assert not other.create()


def test_a_process_that_takes_over_finishes_and_the_last_one_stores_no_more(queue, populated, clock):
    queue.post(*range(250))
    step_to(queue, COPYING)
    moves = populated.catalog.moves
    stalled = moves.find("of-a")
    source, target = populated.catalog.get_driver("a"), populated.catalog.get_driver("b")
    move = stalled.move
    batch = source.move_controller.take("of-a", incarnation=move.sealed)
    target.move_controller.store("of-a", batch, incarnation=move.opened, epoch=move.epoch)

    taken = moves.take_over("of-a", None, stalled, "another")
    assert moves.take_over("of-a", None, stalled, "a third") is None
    while moves.find("of-a").move.phase != MOVED:
        step(queue)
    with pytest.raises(errors.MoveSuperseded):
        target.move_controller.store("of-a", batch, incarnation=move.opened, epoch=move.epoch)

    assert (taken.move.holder, taken.move.epoch) == ("another", 2)
    assert queue.free() == [*range(250)]


def test_a_target_that_is_down_before_it_is_opened_ends_the_move(queue, other, stores):
    queue.post("a")
    plan(queue)
    step(queue)
    stores.switch_off("b")

    with pytest.raises(errors.PoolUnavailable):
        step(queue)

    assert queue.driver.catalog.moves.find("of-a") is None
    other.post("b")
    held = other.claim()
    assert bodies(held) == ["a", "b"]
    other.end(held.id)
    stores.switch_on("b")
    step_to(queue, MOVED)


def test_a_source_that_is_down_before_it_is_sealed_keeps_producers_out(queue, other, stores, monkeypatch):
    monkeypatch.setattr(queue_lives, "MOVE_TIMEOUT", 0.0)
    queue.post("a")
    plan(queue)
    step(queue)
    stores.switch_off("a")

    with pytest.raises(errors.PoolUnavailable) as raised:
        other.post("b")

    assert raised.value.pool == "a"
    stores.switch_on("a")
    other.post("b")
    assert queue.driver.catalog.moves.find("of-a").pool == "b" or other.free() == ["a", "b"]


def test_a_source_that_is_down_afterwards_does_not_keep_new_messages_from_consumers(queue, other, stores):
    queue.post("a")
    step_to(queue, DRAINING, copies=False)
    other.post("b")
    stores.switch_off("a")

    assert bodies(other.claim()) == ["b"]

    stores.switch_on("a")


def test_a_move_can_be_aborted_until_the_target_is_open(queue, other, stores):
    queue.post("a")
    moves = queue.driver.catalog.moves
    for steps in range(2):
        plan(queue)
        for _ in range(steps):
            step(queue)
        assert moves.abort("of-a", None, moves.find("of-a"))
        assert moves.find("of-a") is None
        assert other.free() == ["a"]
        assert not stores.leaf("b").queue_controller.exists("of-a")

    step_to(queue, DRAINING)
    assert not moves.abort("of-a", None, moves.find("of-a"))


def test_a_sealed_queue_is_deleted_when_no_producer_can_ask_for_a_post(queue, stores, clock):
    step_to(queue, MOVED)
    assert step(queue) == queue.driver.catalog.moves.find("of-a")
    assert stores.leaf("a").queue_controller.exists("of-a")

    clock.advance(IDEMPOTENCY_WINDOW)
    step(queue)

    assert not stores.leaf("a").queue_controller.exists("of-a")
    assert queue.driver.catalog.moves.find("of-a") is None


def test_a_queue_moves_back_and_forth(queue, populated):
    queue.post("a")
    for target in ("b", "a", "b"):
        found = plan(queue, target=target)
        while found.move.phase != MOVED:
            found = step(queue)
        queue.post(f"in {target}")

    assert queue.free() == ["a", "in b", "in a", "in b"]
    assert {one.pool for one in found.move.tombstones} == {"a", "b"}


def test_what_cannot_be_moved_is_named(queue, populated):
    with pytest.raises(errors.QueueDoesNotExist):
        populated.catalog.moves.plan("absent", None, "b", copies=True, holder="h")
    with pytest.raises(errors.PoolDoesNotExist):
        plan(queue, target="absent")
    with pytest.raises(errors.NotPermitted, match="in pool 'a' already"):
        plan(queue, target="a")
    plan(queue)
    with pytest.raises(errors.NotPermitted, match="moving to pool 'b' already"):
        plan(queue, target="f")
    populated.queue_controller.create("exclusive", None, expiry=Expiry(5.0, from_now=True, holder="h", holder_ttl=9.0))
    with pytest.raises(errors.NotPermitted, match="exclusive"):
        populated.catalog.moves.plan("exclusive", None, "b", copies=True, holder="h")


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
