"""Many processes on one Redis, forks among them, one of which is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter

import pytest

from kombu_pool.testing import bodies, ids
from tests.support.limits import LIMIT
from tests.support.transport.child_programs import Programs

PRODUCERS, EACH, CONSUMERS = 4, 2_000, 4
#: TTL of a claim, in seconds, after which the messages of a killed process are free.
TTL = 1.0


@pytest.fixture
def programs():
    programs = Programs("tests.support.redis.child_programs")
    yield programs
    programs.kill()


def said(consumer):
    """Return the bodies that a consumer acknowledged."""
    acked = []
    while (line := consumer.line()) != "done":
        acked += json.loads(line)
    return acked


def in_child(action):
    """Run ``action`` in a forked child; return its process's id."""
    pid = os.fork()
    if pid == 0:
        status = 1
        signal.alarm(int(LIMIT))  # A child that hangs would outlive the test.
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return pid


def status_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def work(queue, name, count):
    """Post and consume messages one at a time, and check that each reply belongs to its call."""
    for number in range(count):
        body = [name, number]
        (message_id,) = queue.post(body)
        # The other process may have consumed it already.
        assert bodies(queue.get_all([message_id])) in ([body], [])
        held = queue.claim(limit=1)
        assert [message["claim_id"] for message in held.messages] == [held.id]
        assert queue.delete_claimed([(ids(held)[0], held.id)]) == []


def test_a_killed_process_costs_no_message_and_doubles_none(queue, uri, programs):
    victim = programs.start("hold", uri=uri, ttl=TTL)
    consumers = [programs.start("consume", uri=uri, ttl=TTL) for _ in range(CONSUMERS - 1)]
    assert {consumer.line() for consumer in consumers} == {"ready"}
    producers = [programs.start("post", uri=uri, first=number * EACH, count=EACH) for number in range(PRODUCERS)]

    assert victim.line() == "holding"
    victim.signal(signal.SIGKILL)
    for producer in producers:
        producer.finish()
    queue.driver.queue_controller.set_metadata("q", {"complete": True})
    acked = Counter(body for consumer in consumers for body in said(consumer))

    assert acked == Counter(range(PRODUCERS * EACH))
    assert queue.all() == []


def test_a_process_that_is_late_acknowledges_nothing(queue, uri, programs):
    queue.post("a")
    victim = programs.start("hold", uri=uri, ttl=TTL)
    assert victim.line() == "holding"
    victim.signal(signal.SIGSTOP)
    watch = queue.driver.watch([(None, "q")])

    until = time.monotonic() + LIMIT
    while (held := queue.claim(ttl=60)).id is None and time.monotonic() < until:
        watch.wait(1)

    assert bodies(held) == ["a"]
    assert held.messages[0]["claim_count"] == 2
    watch.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_parent_and_child_use_one_driver_at_once(queue):
    queue.post("connects")
    queue.pop()

    child = in_child(lambda: work(queue, "child", 500))
    work(queue, "parent", 500)

    assert status_of(child) == 0
    assert queue.all() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_child_may_close_what_its_parent_goes_on_to_use(queue):
    queue.post("a")

    assert status_of(in_child(queue.driver.close)) == 0

    assert queue.free() == ["a"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_child_goes_on_when_its_parent_has_closed(queue, open_queue, uri):
    reading, writing = os.pipe()
    queue.post("a")

    def action():
        os.read(reading, 1)
        queue.post("b")

    child = in_child(action)
    queue.driver.close()
    os.write(writing, b"1")

    assert status_of(child) == 0
    assert open_queue(uri).free() == ["a", "b"]
    os.close(reading)
    os.close(writing)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_watch_works_on_both_sides_of_a_fork(queue):
    watch = queue.driver.watch([(None, "q")])
    assert watch.wait(0.01) is False

    def action():
        assert watch.wait(0.01) is False
        queue.post("from the child")
        assert watch.wait(LIMIT) is True

    assert status_of(in_child(action)) == 0
    assert watch.wait(LIMIT) is True
    watch.close()
