"""Threads that cannot be started, or whose start is interrupted: nothing is lost, and the connection closes."""

from __future__ import annotations

import threading

import pytest

from tests.support.transport.traffic import Inbox, count, declare, eventually, publish


class Starts:
    """The starts of service threads, of which the first fail."""

    def __init__(self, monkeypatch):
        self._start = threading.Thread.start
        self.error, self.failing = RuntimeError("can't start new thread"), 0

        def start(thread):
            self.begin(thread)

        monkeypatch.setattr(threading.Thread, "start", start)

    def begin(self, thread):
        if self.failing and thread.name in {"kombu_pool-settlement", "kombu_pool-renewal", "kombu_pool-maintenance"}:
            self.failing -= 1
            raise self.error
        self._start(thread)


@pytest.fixture
def starts(monkeypatch):
    return Starts(monkeypatch)


def acknowledge_all(connection, channel, number):
    inbox = Inbox(connection, ack=True)
    channel.basic_consume("q", callback=inbox)
    inbox.wait_for(number)


def test_a_connection_without_service_threads_sends_its_acknowledgements_when_it_closes(connect, elsewhere, starts):
    connection, other = connect(), elsewhere.channel()
    channel = connection.channel()
    declare(channel, "q")
    publish(channel, "q", *range(20))

    starts.failing = 1000
    acknowledge_all(connection, channel, 20)
    connection.release()
    starts.failing = 0

    assert count(other, "q") == 0
    assert other.basic_get("q") is None


def test_threads_are_started_once_the_system_has_some(connect, elsewhere, starts):
    connection, other = connect(), elsewhere.channel()
    channel = connection.channel()
    declare(channel, "q")
    publish(channel, "q", *range(20))

    starts.failing = 2
    acknowledge_all(connection, channel, 20)

    stats = other.connection.broker.data.queue_controller.stats
    eventually(lambda: stats("q")["messages"]["total"] == 0)


def test_a_start_that_is_interrupted_is_tried_again(connect, elsewhere, starts):
    connection, other = connect(), elsewhere.channel()
    channel = connection.channel()
    declare(channel, "q")
    publish(channel, "q", *range(20))
    messages = [channel.basic_get("q") for _ in range(20)]

    starts.error, starts.failing = KeyboardInterrupt(), 1
    with pytest.raises(KeyboardInterrupt):
        messages[0].ack()
    for message in messages[1:]:
        message.ack()

    stats = other.connection.broker.data.queue_controller.stats
    eventually(lambda: stats("q")["messages"]["claimed"] == 0)
    connection.release()
