from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from kombu_pool import drivers
from kombu_pool.testing import ManualClock
from tests.support.transport.traffic import eventually

CLAIM = {"ttl": 60, "grace": 0}
MIB = 1024 * 1024


def size(driver):
    health = driver.health()
    return health["bytes"] + health["wal_bytes"]


def collect_all(driver):
    while driver.gc():
        pass
    for _ in range(100):
        driver.gc()


def test_a_long_queue_that_went_leaves_a_small_file(driver):
    for _ in range(40):
        driver.message_controller.post("q", [{"ttl": None, "body": b"x" * 1000}] * 1000, None)
    full = size(driver)
    while True:
        claim, messages = driver.claim_controller.create("q", CLAIM, limit=500)
        if claim is None:
            break
        driver.message_controller.delete_claimed("q", [(message["id"], claim) for message in messages])

    collect_all(driver)

    assert full > 40 * MIB
    # Each run returns pages for a limited time.
    eventually(lambda: (driver.gc(), size(driver) < 25 * MIB)[1])


def test_deletions_of_short_queues_leave_no_rows_for_the_garbage_collection(driver, path):
    for number in range(10):
        driver.queue_controller.create(f"q{number}")
        driver.message_controller.post(f"q{number}", [{"ttl": None, "body": 1}] * 3, None)

    for number in range(10):
        driver.queue_controller.delete(f"q{number}")

    with closing(sqlite3.connect(path)) as connection:
        counts = [connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("queue", "message")]  # noqa: S608
    assert counts == [(1,), (0,)]  # the queue of the fixture is left


def test_messages_that_come_and_go_take_no_more_space_than_there_are_at_once(driver):
    for _ in range(200):
        driver.message_controller.post("q", [{"ttl": None, "body": b"x" * 1000}] * 100, None)
        claim, messages = driver.claim_controller.create("q", CLAIM, limit=100)
        driver.message_controller.delete_claimed("q", [(message["id"], claim) for message in messages])

    health = driver.health()
    assert health["bytes"] < 4 * MIB
    # The log is truncated at the first check above 16 MiB.
    assert health["wal_bytes"] < 20 * MIB


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def timed(path, clock):
    opened = drivers.open_data(f"sqlite:///{path}", clock=clock)
    opened.queue_controller.create("q")
    yield opened
    opened.close()


def rows(driver):
    tables = ("message", "free", "delayed", "claimed", "claim", "subscription", "dead")
    count = "SELECT count(*) FROM {}".format
    return {table: driver._database.row(count(table))[0] for table in tables}


def test_what_has_expired_is_collected(timed, clock):
    timed.message_controller.post("q", [{"ttl": 10, "body": 1}] * 1500, None)
    timed.message_controller.post("q", [{"ttl": 10, "body": 1, "delay": 5}] * 1500, None)
    timed.subscription_controller.create("q", "http://me", 10, {})
    clock.advance(11)

    # A call takes a few hundredths of a second at most; how many rows it removes depends on the machine.
    gone = sum(timed.gc() for _ in range(100))

    assert gone == 3001
    assert not any(rows(timed).values())


def test_a_claim_that_has_ended_is_collected_and_its_messages_are_free(timed, clock):
    timed.message_controller.post("q", [{"ttl": None, "body": 1}] * 3, None)
    timed.claim_controller.create("q", {"ttl": 10, "grace": 0})
    clock.advance(11)

    timed.gc()

    assert {table: count for table, count in rows(timed).items() if count} == {"message": 3, "free": 3}


def test_a_deleted_queue_leaves_nothing(timed):
    timed.message_controller.post("q", [{"ttl": 100, "body": 1}] * 3000, None)
    timed.message_controller.post("q", [{"ttl": None, "body": 1, "delay": 9}] * 3000, None)
    timed.claim_controller.create("q", CLAIM, limit=50)
    timed.subscription_controller.create("q", "http://me", 10, {})
    timed.queue_controller.delete("q")
    timed.queue_controller.create("q")
    timed.message_controller.post("q", [{"ttl": None, "body": "new"}], None)

    collect_all(timed)

    assert {table: count for table, count in rows(timed).items() if count} == {"message": 1, "free": 1}
    assert timed.message_controller.first("q")["body"] == "new"


def test_a_deleted_queue_leaves_none_of_its_dead(timed, clock):
    timed.queue_controller.set_metadata("q", {"_dead_letter_exchange": "x", "_dead_letter_expired": True})
    timed.message_controller.post("q", [{"ttl": 10, "body": 1}] * 1200, None)
    clock.advance(10)
    timed.claim_controller.create("q", CLAIM)
    assert rows(timed)["dead"] == 1200
    timed.message_controller.post("q", [{"ttl": 10, "body": 1}] * 1200, None)
    clock.advance(10)
    timed.queue_controller.delete("q")

    collect_all(timed)

    assert not any(rows(timed).values())
    assert timed._database.row("SELECT count(*) FROM queue") == (0,)


def test_deleting_a_long_queue_touches_a_bounded_part_of_it(timed):
    timed.message_controller.post("q", [{"ttl": None, "body": 1}] * 5000, None)

    timed.queue_controller.delete("q")

    assert rows(timed)["message"] >= 4000
    assert not timed.queue_controller.exists("q")


def test_ids_are_not_used_again_though_the_clock_stands_still(timed):
    first = timed.message_controller.post("q", [{"ttl": None, "body": 1}], None)
    timed.message_controller.delete("q", *first)

    second = timed.message_controller.post("q", [{"ttl": None, "body": 1}], None)

    assert int(second[0]) > int(first[0])


def test_order_is_kept_though_the_clock_goes_back(timed, clock):
    first = timed.message_controller.post("q", [{"ttl": None, "body": "a"}], None)
    clock.advance(-1000)

    second = timed.message_controller.post("q", [{"ttl": None, "body": "b"}], None)

    assert int(second[0]) > int(first[0])
    assert [message["body"] for message in timed.message_controller.pop("q", 2)] == ["a", "b"]


def test_many_messages_that_are_due_at_once_are_lent_in_order(timed, clock):
    posts = [{"ttl": None, "body": n, "delay": 10 + n % 7, "priority": n % 3} for n in range(2000)]
    timed.message_controller.post("q", posts, None)
    clock.advance(20)

    _, messages = timed.claim_controller.create("q", CLAIM, limit=2000)

    assert [message["body"] for message in messages] == sorted(range(2000), key=lambda n: (-(n % 3), n))
