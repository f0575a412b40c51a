"""Dead letters while their queue, or the queue in which they died, moves between stores of two kinds."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from kombu_pool import errors
from kombu_pool.clock import SystemClock
from kombu_pool.moves import DRAINING, MOVED, PLANNED
from kombu_pool.storage import UNREADABLE_QUEUE, DeadLetterHooks
from kombu_pool.storage.dead_letters import RESERVATION_TTL
from kombu_pool.testing import bodies
from kombu_pool.testing.handles import HookCalls, QueueHandle
from kombu_pool.transport.upkeep.default_dead_letter_queue import DEFAULT_DEAD_LETTER_QUEUE, DefaultDeadLetterQueue
from tests.support.limits import LIMIT
from tests.support.pooling.moves import plan, step, step_to
from tests.support.pooling.two_kinds import two_kinds

pytestmark = pytest.mark.usefixtures("no_wait")

#: The stores of the pools "a" and "b".
KINDS = [("memory", "sqlite"), ("sqlite", "redis"), ("redis-cluster", "mongodb"), ("mongodb", "memory")]
#: Batches of rejected messages while queues move to and fro.
ROUNDS = 50
DEAD_LETTERS = {"_dead_letter_queue": "letters", "_dead_letter_expired": True}


@pytest.fixture(params=KINDS, ids="-to-".join)
def broker(request, tmp_path, clock):
    with two_kinds(tmp_path, request.param, clock) as opened:
        yield opened


def is_in_phase(queue, phase):
    found = queue.driver.catalog.moves.find(queue.name)
    return found is not None and found.move.phase == phase


def finish(queue):
    """Make the steps that are left, at most 50."""
    for _ in range(50):
        if is_in_phase(queue, MOVED):
            return
        step(queue)
    raise AssertionError(queue.driver.catalog.moves.find(queue.name))


def reject(queue, *bodies):
    """Reject new messages of a queue."""
    queue.post(*bodies)
    queue.reject(queue.claim(limit=len(bodies)))


@pytest.mark.parametrize("pool", ["a", "b"])
@pytest.mark.parametrize("steps", range(5))
def test_a_dead_letter_is_stored_once_whatever_the_phase_of_its_queue(broker, steps, pool):
    work, letters = broker.queue("work", pool, **DEAD_LETTERS), broker.queue("letters", "a")
    reject(work, "before")
    plan(letters)
    for _ in range(steps):
        step(letters)

    reject(work, "meanwhile")
    finish(letters)
    reject(work, "after")

    assert letters.all() == ["before", "meanwhile", "after"]
    assert broker.bodies_in("b", "letters") == ["before", "meanwhile", "after"]


@pytest.mark.parametrize("pool", ["a", "b"])
@pytest.mark.parametrize("steps", range(3))
def test_a_dead_letter_outlives_a_move_of_its_queue_that_is_aborted(broker, steps, pool):
    work, letters = broker.queue("work", pool, **DEAD_LETTERS), broker.queue("letters", "a")
    plan(letters)
    for _ in range(min(steps, 1)):
        step(letters)
    if steps == 2:
        seal_source(letters)

    reject(work, "meanwhile")
    moves = letters.driver.catalog.moves
    if is_in_phase(letters, PLANNED):
        moves.abort("letters", None, moves.find("letters"))
    reject(work, "after")

    assert letters.all() == ["meanwhile", "after"]


def seal_source(queue):
    """Seal the source as a process does that dies before it opens the target."""
    found = queue.driver.catalog.moves.find(queue.name)
    source = queue.driver.catalog.get_driver(found.move.source)
    source.queue_controller.create(queue.name, {}, incarnation=found.move.sealed, replaces=found.incarnation)


def test_a_dead_letter_outlives_a_move_that_is_aborted_because_its_target_is_down(queue, populated, stores):
    populated.queue_controller.set_metadata("of-b", {"_dead_letter_queue": "of-a"})
    plan(queue)
    step(queue)
    stores.switch_off("b")
    with pytest.raises(errors.PoolUnavailable):
        step(queue)
    stores.switch_on("b")

    reject(QueueHandle(populated, "of-b", None), "after")

    assert queue.all() == ["after"]


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize("pool", ["a", "b"])
def test_the_messages_of_a_moving_queue_die_for_each_reason_in_both_pools(broker, clock, pool, copies):
    letters = broker.queue("letters", pool)
    work = broker.queue("work", "a", **DEAD_LETTERS, _max_claim_count=1, _max_length=4)
    reject_pairs = partial(broker.driver.message_controller.reject, "work")
    work.post("rejected in a", "counted in a")
    work.post("expired in a", ttl=30)
    held = work.claim(limit=3, ttl=1000)
    work.post("displaced in a", "m1", "m2", "m3", "m4")
    work.pop(1)
    step_to(work, DRAINING, copies=copies)

    by_body = {message["body"]: message["id"] for message in held.messages}
    work.post("rejected in b")
    assert reject_pairs([(by_body["rejected in a"], held.id)]) == []
    work.release(held.id, [by_body["counted in a"], by_body["expired in a"]])
    clock.advance(40)
    broker.driver.dead_letter_all()
    for _ in range(20):
        claim = work.claim(limit=10)
        for message in claim.messages:
            pair = [(message["id"], claim.id)]
            assert (reject_pairs if "rejected" in message["body"] else work.delete_claimed)(pair) == []
        if is_in_phase(work, MOVED):
            break
        step(work)
    work.post("expired in b", ttl=5)
    clock.advance(10)
    work.post("counted in b")
    work.end(work.claim().id)
    assert work.claim().id is None
    work.post("displaced in b", "n1", "n2", "n3", "n4")
    broker.driver.dead_letter_all()

    assert is_in_phase(work, MOVED)
    assert sorted(letters.all()) == sorted(
        f"{why} in {pool}" for why in ("rejected", "counted", "expired", "displaced") for pool in "ab"
    )
    assert work.all() == ["n1", "n2", "n3", "n4"]
    assert broker.bodies_in("a", "work") == []


def test_dead_letters_for_an_exchange_are_published_once_from_both_pools(tmp_path, clock):
    published = HookCalls()
    with two_kinds(tmp_path, ("sqlite", "redis"), clock, DeadLetterHooks(publish=published)) as broker:
        work = broker.queue("work", "a", _dead_letter_exchange="dead")
        work.post("in a", "claimed in a")
        held = work.claim(limit=2)
        work.reject(held._replace(messages=held.messages[:1]))
        step_to(work, DRAINING)
        work.reject(held._replace(messages=held.messages[1:]))
        reject(work, "in b")
        finish(work)
        broker.driver.dead_letter_all()

        assert [call[3]["body"] for call in published] == ["in a", "claimed in a", "in b"]


def test_a_queue_that_dead_letters_to_itself_moves_with_its_dead_letters(broker):
    work = broker.queue("work", "a", _dead_letter_queue="work")
    work.post("one", "two")
    held = work.claim(limit=2)
    step_to(work, DRAINING)

    work.reject(held)
    finish(work)

    assert sorted(work.all()) == ["one", "two"]
    assert sorted(broker.bodies_in("b", "work")) == ["one", "two"]


def test_two_queues_that_are_each_others_dead_letter_queues_move_in_opposite_directions(broker):
    there = broker.queue("there", "a", _dead_letter_queue="back")
    back = broker.queue("back", "b", _dead_letter_queue="there")
    there.post("from there")
    back.post("from back")
    claims = [(queue, queue.claim()) for queue in (there, back)]
    for queue, target in ((there, "b"), (back, "a")):
        plan(queue, target=target)
    for _ in range(4):
        step(there)
        step(back)

    for queue, held in claims:
        queue.reject(held)
    for queue in (there, back):
        finish(queue)

    assert (there.all(), back.all()) == (["from back"], ["from there"])
    assert (broker.bodies_in("b", "there"), broker.bodies_in("a", "back")) == (["from back"], ["from there"])


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("moving", ["letters", "work"])
def test_a_redrive_moves_each_dead_letter_once_while_one_of_the_queues_moves(broker, steps, moving):
    letters, work = broker.queue("letters", "a"), broker.queue("work", "a", **DEAD_LETTERS)
    names = [f"m{number}" for number in range(7)]
    reject(work, *names[:4])
    queue = {"letters": letters, "work": work}[moving]
    plan(queue, copies=False)
    for _ in range(min(steps, 3)):
        step(queue)
    reject(work, *names[4:])
    for _ in range(steps - 3):
        step(queue)

    result = broker.driver.redrive("letters")

    assert (result.moved, result.duplicated, result.remaining) == ({"work": 7}, 0, {})
    assert letters.all() == []
    assert work.all() == names
    if moving == "letters":
        finish(letters)
    assert (letters.all(), work.all()) == ([], names)


@pytest.mark.parametrize("steps", range(5))
def test_an_unreadable_record_is_kept_once_while_the_queue_for_them_moves(broker, steps, clock):
    work, unreadable = broker.queue("work", "a"), broker.queue(UNREADABLE_QUEUE, "a")
    plan(unreadable)
    for _ in range(steps):
        step(unreadable)
    broker.corrupt("a", "work", *work.post("broken"))

    for _ in range(2):
        work.claim()
        broker.driver.dead_letter_all()
        clock.advance(RESERVATION_TTL + 60)
    finish(unreadable)

    (body,) = [message["body"] for message in unreadable.page()[0]]
    assert body["record"] == b"\xc1"
    assert bodies(unreadable.page()[0]) == broker.bodies_in("b", UNREADABLE_QUEUE)
    assert work.all() == []


@pytest.mark.parametrize("steps", range(5))
def test_the_default_dead_letter_queue_moves_with_what_it_gets_meanwhile(tmp_path, clock, steps):
    def publish(project, exchange, routing_key, message):
        default.keep(project, message, "no other queue takes it")
        return True

    with two_kinds(tmp_path, ("sqlite", "redis"), clock, DeadLetterHooks(publish=publish)) as broker:
        default = DefaultDeadLetterQueue(lambda: broker.driver, max_length=100, ttl=0.0)
        work = broker.queue("work", "b", _dead_letter_exchange="dead")
        kept = broker.queue(DEFAULT_DEAD_LETTER_QUEUE, "a")
        reject(work, "before")
        plan(kept)
        for _ in range(steps):
            step(kept)

        reject(work, "meanwhile")
        finish(kept)
        reject(work, "after")

        assert kept.all() == ["before", "meanwhile", "after"]
        assert broker.driver.queue_controller.get(DEFAULT_DEAD_LETTER_QUEUE)["_max_length"] == 100


def move_to_and_fro(queue, stop):
    """Move a queue from pool to pool until told to stop; return the number of moves."""
    moves = 0
    while not stop.is_set():
        plan(queue, target={"a": "b", "b": "a"}[queue.driver.catalog.pool_of(queue.name)])
        while not is_in_phase(queue, MOVED):
            step(queue)
        moves += 1
    return moves


@pytest.mark.parametrize("kinds", [("sqlite", "redis"), ("mongodb", "redis-cluster")], ids="-to-".join)
def test_no_dead_letter_is_lost_or_doubled_while_both_queues_move_to_and_fro(tmp_path, kinds):
    with two_kinds(tmp_path, kinds, SystemClock()) as broker, ThreadPoolExecutor(3) as threads:
        letters, work = broker.queue("letters", "a"), broker.queue("work", "b", **DEAD_LETTERS)
        stop = threading.Event()
        moving = [threads.submit(move_to_and_fro, queue, stop) for queue in (letters, work)]
        with broker.another_driver() as driver:
            rejecting = QueueHandle(driver, "work", None)
            for number in range(ROUNDS):
                rejecting.post(*range(4 * number, 4 * number + 4))
                rejecting.reject(rejecting.claim(limit=4))
        stop.set()
        moves = [each.result(LIMIT) for each in moving]
        while (held := work.claim(limit=100)).messages:
            work.reject(held)
        broker.driver.dead_letter_all()

        assert sorted(letters.all()) == [*range(4 * ROUNDS)]
        assert min(moves) >= 1
