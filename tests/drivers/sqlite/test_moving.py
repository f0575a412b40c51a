"""Moves of queues between SQLite stores: processes that race, die or stall, and what is in the tables."""

from __future__ import annotations

import json
import math
import time

import pytest

from kombu_pool import codec, drivers, errors
from kombu_pool.drivers.sqlite.schema import FIRST_POSTED
from kombu_pool.model import Uniqueness
from kombu_pool.moves import MovedMessage
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.testing import QueueHandle
from kombu_pool.testing.handles import bodies
from kombu_pool.testing.moves import SEALED
from tests.support.limits import LIMIT
from tests.support.sqlite.files import stop
from tests.support.sqlite.moves import handle, moved, remaining, remove, rows_of, seal, set_epoch, store, take

MESSAGES = 700
CLAIM = {"ttl": 60, "grace": 0}


@pytest.fixture
def source(open_data):
    """A queue that is about to be moved, in the store of the test."""
    return handle(open_data(), "present")


@pytest.fixture
def target_uri(tmp_path):
    return f"sqlite:///{tmp_path / 'target.db'}?synchronous=NORMAL"


@pytest.fixture
def open_target(target_uri, clock):
    opened = []

    def open_target():
        opened.append(drivers.open_data(target_uri, clock=clock))
        return opened[-1]

    yield open_target
    for driver in opened:
        driver.close()


@pytest.fixture
def target(open_target):
    """A queue of another store that stores the batches of epoch 1."""
    queue = handle(open_target(), "opened")
    set_epoch(queue, 1)
    return queue


def test_what_is_confirmed_before_the_seal_is_in_the_source_and_nothing_is_stored_after_it(source, uri, run):
    producers = [run("post_until_sealed", uri) for _ in range(4)]
    for producer in producers:
        producer.stdout.readline()
    limit = time.monotonic() + LIMIT
    while source.count() < 100 and time.monotonic() < limit:
        time.sleep(0.01)

    seal(source)
    stored = source.driver.message_controller.count("q")

    confirmed = [json.loads(producer.communicate(timeout=LIMIT)[0]) for producer in producers]
    found = source.pop(limit=stored + 1)
    assert sorted(bodies(found)) == sorted(body for each in confirmed for body in each)
    assert len(found) == stored >= 100


def test_of_processes_with_different_epochs_each_message_is_stored_by_one(source, target, uri, target_uri, run):
    source.post(*range(MESSAGES))
    seal(source)
    movers = [run("move", uri, target_uri, SEALED, epoch) for epoch in (2, 3, 4, 5)]
    for mover in movers:
        mover.stdout.readline()

    for mover in movers:
        stop(mover)
    outcomes = [json.loads(mover.communicate(timeout=LIMIT)[0]) for mover in movers]

    assert outcomes[-1] == "done"
    assert target.free() == [*range(MESSAGES)]
    assert remaining(source) == 0


def test_a_process_that_is_killed_at_any_step_loses_and_doubles_nothing(source, target, uri, target_uri, run):
    source.post(*range(MESSAGES))
    seal(source)

    for epoch in range(2, 8):
        mover = run("move", uri, target_uri, SEALED, epoch)
        mover.stdout.readline()
        before, limit = target.count(), time.monotonic() + LIMIT
        stop(mover)
        while target.count() <= before < MESSAGES and time.monotonic() < limit:
            time.sleep(0.001)
        time.sleep(0.001 * epoch)  # to kill it at another step each time
        mover.kill()
        mover.wait()

    last = run("move", uri, target_uri, SEALED, 8)
    stop(last)
    assert json.loads(last.communicate(timeout=LIMIT)[0].splitlines()[-1]) == "done"
    assert target.free() == [*range(MESSAGES)]
    assert remaining(source) == 0


@pytest.fixture
def consumer(uri):
    """The source as a consumer has it, by whose clock the other processes find its claims live."""
    driver = drivers.open_data(uri)
    yield QueueHandle(driver, "q", None)
    driver.close()


def test_consumers_empty_the_source_while_a_process_moves_the_rest(source, consumer, target, uri, target_uri, run):
    source.post(*range(MESSAGES))
    seal(source)
    mover = run("move", uri, target_uri, SEALED, 2)
    mover.stdout.readline()

    stop(mover)
    consumed = []
    while remaining(consumer):
        claim, messages = consumer.driver.claim_controller.create("q", CLAIM, limit=5, incarnation=SEALED)
        consumed += bodies(messages)
        assert consumer.delete_claimed([(message["id"], claim) for message in messages]) == []
    assert json.loads(mover.communicate(timeout=LIMIT)[0]) == "done"

    assert sorted([*consumed, *target.free()]) == [*range(MESSAGES)]


def test_each_step_is_continued_by_the_next_process(source, target, open_data, open_target):
    source.post("a", "b", "c", "d")
    seal(source)

    def restarted(epoch):
        leaving, entering = QueueHandle(open_data(), "q", None), QueueHandle(open_target(), "q", None)
        last = set_epoch(entering, epoch)
        remove(leaving, last)
        return leaving, entering, last

    first = take(source, limit=2)
    leaving, entering, last = restarted(2)
    assert (list(last), take(leaving)) == ([], first)
    store(entering, first, epoch=2)
    leaving, entering, last = restarted(3)
    assert list(last) == [message.id for message in first]
    second = take(leaving)
    store(entering, second, epoch=3)
    remove(leaving, [message.id for message in second])
    leaving, entering, last = restarted(4)
    assert list(last) == [message.id for message in second]
    assert list(take(leaving)) == []
    with pytest.raises(errors.MoveSuperseded):
        store(target, first)

    assert target.free() == ["a", "b", "c", "d"]


def test_a_part_of_a_batch_is_stored_once(target):
    batch = [moved(number) for number in range(1, 4)]
    store(target, batch[:2])

    store(target, batch[1:])
    store(target, batch[1:])

    assert target.free() == ["moved 1", "moved 2", "moved 3"]


def test_ids_of_moved_messages_are_below_those_of_posts_and_never_given_again(target, open_target, clock):
    seen = []
    for number in range(3):
        store(target, [moved(2 * number), moved(2 * number + 1)])
        seen += [int(message["id"]) for message in target.pop()]
        target = QueueHandle(open_target(), "q", None)
    clock.step(-clock.time())
    (posted,) = target.post("in 1970")

    assert seen == sorted(set(seen))
    assert max(seen) < FIRST_POSTED <= int(posted)
    store(target, [moved(99)])
    assert target.free() == ["moved 99", "in 1970"]


def test_two_stores_begin_with_other_ids(target, open_data):
    other = handle(open_data(), "opened")
    set_epoch(other, 1)
    for queue in (target, other):
        store(queue, [moved(1)])

    assert target.first()["id"] != other.first()["id"]


def test_of_a_batch_one_message_holds_a_unique_id(target):
    store(target, [moved(number, unique=("u", False)) for number in range(3)])

    present = target.post("again", unique=Uniqueness("u", "unfinished"))

    assert present == [target.first()["id"]]
    target.pop(limit=1)
    assert target.post("later", unique=Uniqueness("u", "unfinished")) != present
    assert target.free() == ["moved 1", "moved 2", "later"]


def test_a_moved_message_of_a_claim_holds_no_id_that_another_got_meanwhile(target):
    target.post("claimed", unique=Uniqueness("u", "waiting"))
    held = target.claim()

    store(target, [moved(1, unique=("u", True))])
    target.end(held.id)

    found = target.driver.move_controller.unique_holder("q", "u")
    assert found == target.first()["id"]
    assert target.free() == ["moved 1", "claimed"]


def test_ages_are_those_of_the_posts_whatever_the_ids(target, clock):
    now = clock.time()
    young, old, late = (
        MovedMessage(str(age), codec.encode(age, 1000), now - age, 0, **fields)
        for age, fields in ((10, {"priority": 5}), (30, {}), (40, {"due": now + 60}))
    )
    store(target, [young, old, late])
    target.post("now")

    counts = target.driver.message_controller.count_many([(None, "q")])[0]
    stats = target.stats()

    assert (counts.free, counts.delayed, counts.oldest_age) == (3, 1, 30)
    assert (stats["oldest"]["age"], stats["newest"]["age"]) == (40, 0)
    clock.advance(60)
    target.pop(limit=2)
    assert target.driver.message_controller.count_many([(None, "q")])[0].oldest_age == 100


def test_a_watch_is_woken_by_a_batch(target, open_target):
    with_watch = open_target()
    watch = with_watch.watch([(None, "q")])
    assert not watch.wait(0)

    store(target, [moved(1)])

    assert watch.wait(LIMIT)
    watch.close()


def test_nothing_of_a_deleted_queue_stays(source):
    source.post(*range(1200))
    seal(source)
    take(source, limit=1100)
    source.driver.move_controller.set_epoch("q", incarnation=SEALED, epoch=1)

    source.driver.queue_controller.delete("q", incarnation=SEALED)
    while source.driver.gc():
        pass

    assert [rows_of(source, table) for table in ("aside", "arrival", "message", "free", "queue")] == [0] * 5


def test_an_absent_queue_has_nothing_to_take(open_data):
    moves = open_data().move_controller

    assert list(moves.take("absent", incarnation=SEALED)) == []
    assert moves.unique_holder("absent", "u") is None


def test_messages_that_a_claim_left_behind_keep_the_queue(source, clock):
    source.post("expired", ttl=10)
    source.post("live")
    clock.advance(11)
    source.driver._database.row("DELETE FROM free WHERE expires IS NOT NULL RETURNING id")
    clock.step(-5)
    seal(source)
    for message in source.pop():
        assert message["body"] == "live"

    assert remaining(source) == 1
    clock.step(5)
    assert remaining(source) == 0


@pytest.mark.parametrize(("created", "ttl"), [(math.nan, 0), (-math.inf, 0), (math.inf, math.nan)])
def test_counts_tell_no_impossible_time_of_a_corrupt_message(target, created, ttl):
    store(target, [MovedMessage("1", codec.encode("corrupt", 1000), created, ttl)])
    target.post("valid")

    counts = target.driver.message_controller.count_many([(None, "q")])[0]

    assert (counts.free, counts.oldest_age) == (2, None), "the first is the oldest, of which it is not known"
    assert target.stats()["oldest"]["age"] == 0
    assert bodies(target.claim()) == ["valid"]
    assert target.stats()["total"] == 1
    assert QueueHandle(target.driver, UNREADABLE_QUEUE, None).count() == 1
