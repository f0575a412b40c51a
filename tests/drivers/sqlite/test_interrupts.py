"""A signal handler may raise anywhere: no transaction stays open, and no lock stays held."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest

from kombu_pool import drivers
from kombu_pool.drivers.sqlite.busy_retry import WriteRetry
from tests.support.interrupts import interruptions
from tests.support.limits import LIMIT

CLAIM = {"ttl": 60, "grace": 0}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


@pytest.fixture
def driver(path):
    with closing(drivers.open_data(f"sqlite:///{path}")) as driver:
        driver.queue_controller.create("q")
        yield driver


@pytest.fixture
def other(path):
    """A connection of another program, which waits for no lock."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)) as other:
        yield other


def post(driver):
    driver.message_controller.post("q", [{"ttl": None, "body": "a"}], None)


def claim(driver):
    driver.claim_controller.create("q", CLAIM)


def settle(driver):
    claim_id, messages = driver.claim_controller.create("q", CLAIM, limit=1)
    driver.message_controller.delete("q", messages[0]["id"], claim=claim_id)


def browse(driver):
    list(next(driver.message_controller.list("q")))


def in_another_thread(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(LIMIT)
    return not thread.is_alive()


@pytest.mark.parametrize("operation", [post, claim, settle, browse])
def test_the_transaction_of_an_interrupted_call_ends(driver, other, operation):
    post(driver)
    operation(driver)
    points = 0

    def repeated():
        for _ in range(2):
            post(driver)
            operation(driver)

    for point, error in interruptions(repeated):
        points = point
        # The thread that was interrupted holds on to the exception, and calls nothing.
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
        if not point % 10:
            assert in_another_thread(lambda: post(driver)), f"point {point}: {error}"
    assert points > 50


@pytest.mark.parametrize("again", [1, 2, 3, 5])
def test_two_interrupts_in_a_row_leave_no_transaction(driver, other, again):
    post(driver)

    for point, _ in interruptions(lambda: post(driver), again=again):
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
        if not point % 10:
            assert in_another_thread(lambda: post(driver)), point


def test_a_writer_that_is_interrupted_before_its_first_attempt_waits_no_more(driver, monkeypatch):
    ended, end = [], WriteRetry.end
    monkeypatch.setattr(driver._database.permits, "may_begin", lambda: False)
    monkeypatch.setattr(WriteRetry, "pause", interrupt)
    monkeypatch.setattr(WriteRetry, "end", lambda retry: (ended.append(retry), end(retry)))

    with pytest.raises(KeyboardInterrupt):
        post(driver)

    assert len(ended) == 1


def interrupt(_):
    raise KeyboardInterrupt
