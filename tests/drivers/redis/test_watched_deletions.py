"""The deletion of a queue wakes all its watches, though Redis hands an entry of a list to one of them."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest

from kombu_pool.drivers.redis.keys import queue_keys
from tests.support.limits import LIMIT
from tests.support.redis.stored_keys import stored_keys
from tests.support.servers.redis_server import Server
from tests.support.servers.waiting import first_answer

KEYS = queue_keys("kombu-pool", None, "q")
#: Timeout of a wait that nothing ends, in seconds.
BRIEFLY = 0.05
#: Within this time a watch must know, in seconds: less than the 4 s after which it peeks by itself.
AT_ONCE = 3.0


@pytest.fixture
def open_watch(queue):
    """Open a watch of the queue, which has seen it."""
    with ExitStack() as opened:

        def make(*names):
            watch = queue.driver.watch([(None, name) for name in names or ["q"]])
            opened.callback(watch.close)
            watch.wait(BRIEFLY)
            return watch

        yield make


class Waiting:
    """A watch that another thread waits on."""

    def __init__(self, watch):
        self.watch = watch
        self.woken = None
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self):
        self.woken = self.watch.wait(LIMIT)
        self.ended = time.monotonic()

    def join(self):
        """Wait for the end of the wait, and return its result."""
        self._thread.join(LIMIT)
        return self.woken


def wait_until_blocked(client, number):
    """Wait until so many watches wait on the server."""
    db = client.connection_pool.connection_kwargs["db"]

    def is_blocked():
        waiting = [each for each in client.client_list() if each["cmd"] == "blpop" and int(each["db"]) == db]
        return len(waiting) == number and all("b" in each["flags"] for each in waiting)

    first_answer(is_blocked, why=lambda: "the watches do not wait")


def test_each_of_many_waiting_watches_is_woken_at_once(queue, client, open_watch):
    waits = [Waiting(open_watch()) for _ in range(10)]
    wait_until_blocked(client, 10)
    began = time.monotonic()

    queue.drop()

    assert all(each.join() for each in waits)
    assert max(each.ended for each in waits) - began < AT_ONCE


def test_the_woken_watches_leave_no_key(queue, client, open_watch):
    watches = [open_watch() for _ in range(3)]
    waits = [Waiting(watch) for watch in watches]
    wait_until_blocked(client, 3)
    queue.drop()
    assert all(each.join() for each in waits)

    assert [watch.wait(BRIEFLY) for watch in watches] == [False, False, False]

    assert stored_keys(client) == set()


def test_a_deletion_leaves_a_key_that_expires_if_a_watch_may_be_about_to_wait(queue, commands, open_watch):
    written = [b"PEXPIRE", KEYS.deletions, b"1000"]
    assert written not in [line.command for line in commands(queue.drop)]
    queue.create()
    open_watch()

    assert written in [line.command for line in commands(queue.drop)]


def test_a_watch_that_did_not_see_the_queue_passes_its_deletion_on(queue, client, open_driver, uri, open_watch):
    ignorant = open_driver(uri).watch([(None, "q"), (None, "other")])
    queue.drop()
    blind = Waiting(ignorant)
    wait_until_blocked(client, 1)
    queue.create()
    sighted = Waiting(open_watch())
    wait_until_blocked(client, 2)
    began = time.monotonic()

    queue.drop()

    assert sighted.join() is True
    assert sighted.ended - began < AT_ONCE
    time.sleep(BRIEFLY)
    assert blind.woken is None
    ignorant.interrupt()
    assert blind.join()
    ignorant.close()


def test_a_lost_wakeup_of_a_deletion_is_made_up_for(queue, client, open_watch, monkeypatch):
    monkeypatch.setattr("kombu_pool.drivers.redis.watch.BLOCK_TIMEOUT", 0.1)
    watch = open_watch()
    waiting = Waiting(watch)
    wait_until_blocked(client, 1)

    client.delete(*KEYS)

    assert waiting.join() is True
    assert watch.wait(BRIEFLY) is False


def test_each_life_of_a_queue_is_told(queue, open_watch):
    watch = open_watch("q", "other")

    for _ in range(3):
        queue.drop()
        assert watch.wait(LIMIT) is True
        assert watch.wait(BRIEFLY) is False
        queue.create()
        assert watch.wait(BRIEFLY) is False


def test_a_post_to_the_next_life_wakes_one_watch_at_once(queue, client, open_watch):
    watches = [open_watch() for _ in range(2)]
    queue.drop()
    assert [watch.wait(LIMIT) for watch in watches] == [True, True]
    assert [watch.wait(BRIEFLY) for watch in watches] == [False, False]
    queue.create()
    waits = [Waiting(watch) for watch in watches]
    wait_until_blocked(client, 2)

    queue.post("a")
    queue.claim()

    first_answer(lambda: any(each.woken for each in waits), why=lambda: "no watch was woken")
    time.sleep(BRIEFLY)
    assert [each.woken for each in waits].count(None) == 1
    for each in waits:
        each.watch.interrupt()
        assert each.join()


def test_an_idle_wait_is_a_peek_and_a_sleep(open_watch, commands):
    watch = open_watch("q", "other")

    ran = commands(lambda: watch.wait(BRIEFLY))

    assert [line.command[0] for line in ran if not line.by_script] == [b"EVALSHA", b"EVALSHA", b"BLPOP"] + [
        b"EVALSHA"
    ] * 2


def test_a_full_store_tells_of_deletions_too(open_queue):
    with Server(maxmemory_policy="noeviction") as server:
        queue = open_queue(server.uri())
        first, second = (queue.driver.watch([(None, "q")]) for _ in range(2))
        for watch in (first, second):
            watch.wait(BRIEFLY)
        server.ask("CONFIG", "SET", "maxmemory", 1)
        waits = [Waiting(watch) for watch in (first, second)]

        queue.drop()

        assert [each.join() for each in waits] == [True, True]
        first.close()
        second.close()
