"""An exclusive queue can be declared again as soon as the connection that owned it is dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from amqp.exceptions import ResourceLocked

from tests.support.limits import LIMIT

OWN = """
import sys
from kombu import Connection
import kombu_pool
channel = Connection(sys.argv[1], transport_options={"claim_ttl": 2.0}).channel()
channel.queue_declare("q", exclusive=True, auto_delete=True)
channel.basic_consume("q", callback=print)
print("declared", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(shared_url):
    """A process that owns the queue q, and consumes from it."""
    with subprocess.Popen(
        [sys.executable, "-c", OWN, shared_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"declared\n"
        yield process
        process.kill()


def declare(channel) -> None:
    channel.queue_declare("q", exclusive=True, auto_delete=True)


def test_the_queue_of_a_living_process_is_refused(other, shared_url, opened):
    channel = opened(shared_url).channel()

    with pytest.raises(ResourceLocked):
        declare(channel)


def test_the_queue_of_a_killed_process_is_taken_over_at_once(other, shared_url, opened):
    channel = opened(shared_url).channel()
    other.kill()
    other.wait()

    declare(channel)

    assert tuple(channel.queue_declare("q", passive=True)) == ("q", 0, 0)


def test_a_killed_process_whose_parent_did_not_wait_for_it_is_dead(other, shared_url, opened):
    channel = opened(shared_url).channel()
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)

    declare(channel)

    assert other.returncode is None


def test_the_queue_of_a_process_that_hangs_is_taken_over_once_its_claims_end(other, shared_url, opened):
    channel = opened(shared_url).channel()
    os.kill(other.pid, signal.SIGSTOP)
    until = time.monotonic() + LIMIT

    while time.monotonic() < until:
        try:
            declare(channel)
        except ResourceLocked:
            continue
        break

    assert channel.basic_get("q") is None


def test_what_came_for_the_dead_is_not_delivered_to_its_successor(other, shared_url, opened):
    channel = opened(shared_url).channel()
    other.kill()
    other.wait()
    channel.basic_publish(channel.prepare_message(b"for the dead"), "", "q")

    declare(channel)

    assert channel.basic_get("q") is None


def test_a_connection_that_was_given_up_owns_nothing(connect):
    lost, new = connect(), connect()
    channel = lost.channel()
    declare(channel)
    channel.basic_consume("q", callback=print)
    lost.transport._collect(lost.connection)

    declare(new.channel())

    assert new.channel().queue_declare("q", passive=True).consumer_count == 0


def test_a_consumer_of_a_connection_that_was_given_up_is_not_kept_alive(connect, store):
    lost, new = connect(claim_ttl=0.5), connect(claim_ttl=0.5)
    lost.channel().queue_declare("shared", durable=True, auto_delete=False)
    lost.channel().basic_consume("shared", callback=print)
    broker = lost.connection.broker
    lost.transport._collect(lost.connection)

    assert broker.renewal._holders == {}
    assert new.channel().queue_declare("shared", passive=True).queue == "shared"
