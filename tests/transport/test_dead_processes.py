"""What a killed process of this machine held comes back at once; nothing is taken from a living one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from amqp.exceptions import NotFound

from kombu_pool.transport import processes
from tests.support.limits import best_of, seconds_of
from tests.support.transport.child_programs import ROOT
from tests.support.transport.traffic import consume, declare, eventually, publish

#: Seconds within which the messages of a dead process are delivered again.
AT_ONCE = 2.0
#: A claim's ttl in seconds that no test waits for.
LONG = {"claim_ttl": 600}
#: Seconds of several looks for dead processes.
WHILE = 3.0

unshare = shutil.which("unshare")


def is_absent(channel, queue):
    """Return whether there is no such queue."""
    try:
        channel.queue_declare(queue, passive=True)
    except NotFound:
        return True
    return False


@pytest.fixture
def channel(shared_url, opened):
    channel = opened(shared_url, **LONG).channel()
    declare(channel, "q")
    return channel


@pytest.fixture
def hold(channel, shared_url, programs):
    """Start a process that holds the messages a and b, without the consumer of this process."""

    def hold():
        publish(channel, "q", "a", "b")
        holder = programs.start("hold", url=shared_url, queue="q", number=2, options=LONG)
        assert [holder.line(), holder.line()] == ["a", "b"]
        return holder

    return hold


def test_what_a_killed_process_held_comes_back_at_once(channel, hold):
    def return_time():
        holder = hold()
        inbox = consume(channel, "q", ack=True, consumer_tag="tag")
        holder.kill()
        seconds = seconds_of(lambda: inbox.wait_for(2))
        channel.basic_cancel("tag")
        assert inbox.bodies == ["a", "b"]
        assert [message.delivery_info["delivery_count"] for message in inbox.messages] == [2, 2]
        return seconds

    assert best_of(return_time, AT_ONCE) < AT_ONCE


def test_what_a_killed_process_held_is_free_for_one_that_starts_later(channel, hold, shared_url, opened):
    hold().kill()
    successor = opened(shared_url, **LONG).channel()

    inbox = consume(successor, "q", ack=True)

    assert seconds_of(lambda: inbox.wait_for(2)) < AT_ONCE + 2


def test_a_stopped_process_loses_nothing_before_its_claims_end(channel, hold):
    holder = hold()
    inbox = consume(channel, "q")
    holder.signal(signal.SIGSTOP)
    inbox.expect_no_more(WHILE)
    holder.signal(signal.SIGCONT)
    holder.tell()

    assert holder.line() == "closed"
    inbox.expect_no_more(0.2)


def test_a_process_that_closed_its_consumers_and_lives_keeps_what_it_has(channel, shared_url, programs):
    publish(channel, "q", "a", "b")
    worker = programs.start("hold_without_consumer", url=shared_url, queue="q", number=2, options=LONG)
    assert [worker.line(), worker.line()] == ["a", "b"]
    inbox = consume(channel, "q")

    inbox.expect_no_more(WHILE)

    worker.tell()
    assert worker.line() == "closed"
    assert inbox.bodies == []


@pytest.mark.skipif(unshare is None, reason="there is no unshare")
def test_processes_of_another_pid_namespace_are_not_judged(channel, shared_url):
    command = [
        unshare,
        *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]),
        "--pid",
        "--fork",
        "--mount-proc",
    ]
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no pid namespace can be made here")
    publish(channel, "q", "a", "b")
    program = (
        f"import sys; from tests.support.transport import child_programs as c; c.hold({shared_url!r}, 'q', 2, {LONG!r})"
    )
    with subprocess.Popen(
        [*command, sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert [holder.stdout.readline(), holder.stdout.readline()] == ["a\n", "b\n"]
        inbox = consume(channel, "q")
        control = channel.connection.broker.control.consumers_controller
        names = {processes.process_of(name) for name in control.holders("")} - {processes.process()}
        assert {name.split(":")[0] == processes.machine() for name in names} == {False}

        inbox.expect_no_more(WHILE)

        holder.communicate("\n")
    eventually(lambda: channel.queue_declare("q", passive=True).message_count == 0)
    assert inbox.bodies == []


def test_what_a_process_held_that_died_after_it_cancelled_its_consumers_comes_back(channel, shared_url, programs):
    publish(channel, "q", "a", "b")
    worker = programs.start("hold_without_consumer", url=shared_url, queue="q", number=2, options=LONG)
    assert [worker.line(), worker.line()] == ["a", "b"]
    inbox = consume(channel, "q", ack=True)
    worker.kill()

    assert seconds_of(lambda: inbox.wait_for(2)) < AT_ONCE


def test_messages_of_a_dead_process_come_back_from_a_queue_that_is_consumed_later(channel, hold, shared_url, opened):
    other = opened(shared_url, **LONG).channel()
    declare(other, "other")
    consume(other, "other")
    holder = hold()
    holder.kill()
    time.sleep(WHILE)

    inbox = consume(other, "q", ack=True)

    assert seconds_of(lambda: inbox.wait_for(2)) < AT_ONCE


def test_an_auto_delete_queue_goes_with_its_dead_consumer(channel, shared_url, programs):
    consume(channel, "q")
    declare(channel, "mailbox", auto_delete=True)
    publish(channel, "mailbox", "a")
    consumer = programs.start("hold", url=shared_url, queue="mailbox", number=1, options=LONG)
    assert consumer.line() == "a"
    eventually(lambda: channel.queue_declare("mailbox", passive=True).consumer_count == 1)
    consumer.kill()

    assert seconds_of(lambda: eventually(lambda: is_absent(channel, "mailbox"))) < AT_ONCE + 1


def test_the_next_of_single_active_consumers_follows_a_dead_one_at_once(channel, shared_url, programs):
    declare(channel, "single", arguments={"x-single-active-consumer": True})
    publish(channel, "single", "a")
    active = programs.start("hold", url=shared_url, queue="single", number=1, options=LONG)
    assert active.line() == "a"
    inbox = consume(channel, "single", ack=True)
    active.kill()

    assert seconds_of(lambda: inbox.wait_for(1)) < AT_ONCE + 1
