"""A network that drops all packets closes no connection: a call that awaits a reply must time out."""

from __future__ import annotations

import time

import pytest
from kombu import Connection

import kombu_pool  # noqa: F401 - registers pool:// with Kombu
from kombu_pool import errors
from kombu_pool.testing import bodies
from tests.support.limits import best_of, seconds_of
from tests.support.servers.proxy import Proxy
from tests.support.servers.redis_server import Server
from tests.support.transport.traffic import consume, declare, publish

#: Tolerance for a timeout on a busy machine, in seconds.
SLACK = 1.0


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture
def proxy(server):
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def connect():
    """Open a channel: ``connect(uri)``."""
    opened = []

    def make(uri):
        opened.append(Connection(f"pool+{uri}"))
        return opened[-1].channel()

    yield make
    for connection in opened:
        connection.release()


def seconds_to_fail(call, *arguments):
    """Return how long a call takes to fail without a reply, in seconds."""

    def fail():
        with pytest.raises(errors.ConnectionError):
            call(*arguments)

    return seconds_of(fail)


@pytest.mark.slow
def test_an_idle_consumer_notices_within_ten_seconds_and_goes_on_when_it_can(server, proxy, connect):
    def noticing():
        channel = connect(proxy.uri)
        declare(channel, "q")
        inbox = consume(channel, "q", ack=True)
        inbox.expect_no_more()
        proxy.block()
        seconds = seconds_to_fail(inbox.wait_for, 1)
        proxy.unblock()
        publish(connect(server.uri()), "q", "a")
        assert inbox.wait_for(1)[0].payload == "a"
        channel.close()
        return seconds

    assert best_of(noticing, 10) < 10


def test_a_publish_gives_up_after_the_socket_timeout(proxy, connect):
    def waiting():
        channel = connect(f"{proxy.uri}?socket_timeout=1")
        declare(channel, "q")
        publish(channel, "q", "warm up")
        proxy.block()
        seconds = seconds_to_fail(publish, channel, "q", "a")
        proxy.unblock()
        return seconds

    assert best_of(waiting, 1 + SLACK) < 1 + SLACK


def test_calls_in_a_row_do_not_add_up_their_waits(proxy, open_queue):
    queue = open_queue(f"{proxy.uri}?socket_timeout=3&max_connections=1")
    queue.post("a")

    def excess():
        proxy.block()
        first, *others = [seconds_to_fail(queue.post, "b") for _ in range(3)]
        proxy.unblock()
        assert first >= 3
        assert "a" in queue.all()
        return max(first - 3, *(other - 1 for other in others))

    assert best_of(excess, SLACK) < SLACK
    assert "a" in bodies(queue.claim())


def test_a_connection_that_the_network_forgot_while_it_was_idle_is_replaced_unnoticed(proxy, open_queue):
    queue = open_queue(f"{proxy.uri}?health_check_interval=0.3&socket_timeout=2")
    queue.post("a")
    proxy.block_open_connections()
    time.sleep(0.3)

    queue.post("b")

    assert bodies(queue.claim()) == ["a", "b"]


def test_a_question_is_asked_again_on_a_new_connection_when_the_network_forgot_the_old(proxy, open_queue):
    queue = open_queue(f"{proxy.uri}?socket_timeout=1")
    [message] = queue.post("a")

    proxy.block_open_connections()

    assert queue.get(message)["body"] == "a"
