"""Deletion and claim at the same time; and deletion of messages that the claim cache vouches for."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError

import pytest

from kombu_pool import errors
from kombu_pool.drivers.mongodb import claiming
from kombu_pool.drivers.mongodb.deletion import delete_claimed
from kombu_pool.testing import bodies, ids
from tests.support.limits import LIMIT
from tests.support.servers import mongodb

CLAIM = {"ttl": 60, "grace": 0}


@pytest.fixture
def uri():
    return mongodb.fresh_uri()


def pairs(held):
    return [(one, held.id) for one in ids(held)]


def ack_and_claim(queue, held, limit=10):
    return queue.driver.claim_controller.ack_and_claim(queue.name, held, CLAIM, queue.project, limit)


@pytest.mark.usefixtures("long_cache")
def test_a_swap_of_batches_is_three_commands(queue, profiled):
    queue.post(*range(20))
    held = queue.claim()

    assert len(profiled(lambda: ack_and_claim(queue, pairs(held)))) == 3
    assert queue.all() == [*range(10, 20)]


@pytest.mark.usefixtures("long_cache")
def test_a_swap_for_nothing_is_two_commands(queue, profiled):
    queue.post("a", "b")
    held = queue.claim()

    assert len(profiled(lambda: ack_and_claim(queue, pairs(held)))) == 2
    assert queue.all() == []


def test_nothing_is_lent_before_it_is_known_what_became_of_the_rest(queue, driver, monkeypatch):
    """The next claim of this thread must not find that an acknowledgement is still in progress."""
    queue.post("a", "b")
    held = queue.claim(limit=1)
    began, may_end = threading.Event(), threading.Event()

    def slowly(*given):
        began.set()
        assert may_end.wait(LIMIT)
        return delete_claimed(*given)

    monkeypatch.setattr(claiming, "delete_claimed", slowly)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(ack_and_claim, queue, pairs(held))
        assert began.wait(LIMIT)
        with pytest.raises(FutureTimeoutError):
            running.result(timeout=0.2)
        may_end.set()
        refused, _, messages = running.result(timeout=LIMIT)

    assert (refused, bodies(messages)) == ([], ["b"])


def test_an_interrupted_call_does_not_wait_for_the_rest(driver):
    may_end = threading.Event()

    with pytest.raises(KeyboardInterrupt), driver._store.client.concurrently(lambda: may_end.wait(60)) as done:
        raise KeyboardInterrupt

    assert not done.done()
    may_end.set()


def test_what_no_thread_can_be_started_for_is_done_once(driver, monkeypatch):
    link, may_end, done = driver._store.client, threading.Event(), []

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with link.concurrently(lambda: may_end.wait(60)), monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with link.concurrently(lambda: done.append("once")):
            pass
        assert done == ["once"]
        may_end.set()
    # The other thread would have run it by now, if it was submitted.
    link._threads.shutdown(wait=True)

    assert done == ["once"]


def test_a_thread_that_outlives_the_main_thread_goes_on(uri, tmp_path):
    program = f"""
import threading, time
import kombu_pool

CLAIM = {CLAIM}
driver = kombu_pool.open({uri!r})
driver.queue_controller.create("q")
driver.message_controller.post("q", [dict(ttl=None, body=number) for number in range(4)], None)

def consume():
    while threading.main_thread().is_alive():
        time.sleep(0.01)
    time.sleep(0.2)
    refused, claim, messages = [], None, driver.claim_controller.create("q", CLAIM, limit=1)[1]
    while messages:
        print(messages[0]["body"], refused, flush=True)
        held = [(messages[0]["id"], messages[0]["claim_id"])]
        refused, claim, messages = driver.claim_controller.ack_and_claim("q", held, CLAIM, limit=1)

threading.Thread(target=consume).start()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT, check=False)

    assert (done.stdout.split("\n"), done.stderr) == (["0 []", "1 []", "2 []", "3 []", ""], "")


def test_a_batch_that_this_process_lent_is_acknowledged_by_one_command(queue, profiled):
    queue.post(*range(5))
    held = queue.claim()

    assert len(profiled(lambda: queue.delete_claimed(pairs(held)))) == 1


def test_what_was_released_and_is_another_claims_is_refused(queue, other):
    queue.post("a", "b")
    held = queue.claim()
    queue.end(held.id)
    assert bodies(other.claim()) == ["a", "b"]

    assert queue.delete_claimed(pairs(held)) == pairs(held)


def test_what_ran_out_and_is_another_claims_is_refused(queue, other, clock):
    queue.post("a", "b")
    held = queue.claim(ttl=60)
    clock.advance(61)
    assert bodies(other.claim()) == ["a", "b"]

    assert queue.delete_claimed(pairs(held)) == pairs(held)


def test_what_is_done_twice_is_refused_the_second_time(queue):
    queue.post("a", "b", "c")
    held = queue.claim()
    queue.delete_claimed(pairs(held)[:1])

    assert queue.delete_claimed(pairs(held)) == pairs(held)[:1]


def test_a_renewed_claim_is_relied_on_for_longer(queue, clock, profiled):
    queue.post("a", "b")
    held = queue.claim(ttl=60)
    clock.advance(50)
    queue.renew(held.id, ttl=60)
    clock.advance(50)

    assert len(profiled(lambda: queue.delete_claimed(pairs(held)))) == 1
    assert queue.all() == []


def test_a_claim_that_could_not_be_renewed_is_not_relied_on(queue, other, clock):
    queue.post("a", "b")
    ended, alive = queue.claim(limit=1, ttl=10), queue.claim(limit=1, ttl=60)
    clock.advance(11)
    other.delete_claimed(pairs(other.claim()))
    with pytest.raises(errors.ClaimDoesNotExist):
        queue.renew(ended.id)

    assert queue.delete_claimed(pairs(ended) + pairs(alive)) == pairs(ended)
