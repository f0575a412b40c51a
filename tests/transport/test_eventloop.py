"""Kombu's event loop, on which Celery's workers run: delivery through the hub."""

from __future__ import annotations

import threading
import time

import pytest
from kombu.asynchronous import Hub, set_event_loop

from tests.support.limits import LIMIT
from tests.support.transport.traffic import QUIET, Inbox, count, declare, eventually, publish, take_all


class Loop:
    """A hub that a test runs until a condition holds."""

    def __init__(self):
        self.hub = Hub()
        set_event_loop(self.hub)

    def until(self, happened, limit=LIMIT):
        until = time.monotonic() + limit
        while not happened():
            assert time.monotonic() < until, f"it did not happen within {limit} s"
            self.hub.run_once()

    def for_a_while(self):
        until = time.monotonic() + QUIET
        self.hub.call_later(QUIET, lambda: None)
        while time.monotonic() < until:
            self.hub.run_once()

    def close(self):
        set_event_loop(None)
        self.hub.close()


@pytest.fixture
def loop():
    started = Loop()
    yield started
    started.close()


@pytest.fixture
def inbox(connection, channel, loop):
    """A consumer of the queue q, fed by the hub."""
    declare(channel, "q")
    connection.register_with_event_loop(loop.hub)
    inbox = Inbox(connection)
    channel.basic_consume("q", callback=inbox, consumer_tag="tag")
    return inbox


def publish_many(channel, number):
    batch = channel.create_publish_batch(max_size=number)
    for each in range(number):
        body = channel.prepare_message(str(each), content_type="text/plain", content_encoding="utf-8")
        batch.publish(body, routing_key="q")
    batch.flush()


def test_the_transport_says_that_it_is_asynchronous(connection):
    assert connection.transport.implements.asynchronous


def test_the_hub_delivers(loop, inbox, channel):
    publish(channel, "q", "a", "b", "c")

    loop.until(lambda: len(inbox.messages) == 3)

    assert inbox.bodies == ["a", "b", "c"]


def test_the_hub_delivers_what_was_there_before(loop, connection, channel):
    declare(channel, "q")
    publish(channel, "q", "a")
    inbox = Inbox(connection)
    channel.basic_consume("q", callback=inbox)
    eventually(lambda: count(channel, "q") == 0)

    connection.register_with_event_loop(loop.hub)

    loop.until(lambda: inbox.messages)


def test_many_messages_leave_the_hub_time_for_its_timers(loop, inbox, channel):
    ticks = []
    loop.hub.call_repeatedly(0.001, lambda: ticks.append(len(inbox.messages)))
    publish_many(channel, 3000)

    loop.until(lambda: len(inbox.messages) == 3000)

    assert any(0 < seen < 3000 for seen in ticks)


@pytest.mark.usefixtures("long_waits")
def test_the_prefetch_limit_holds_and_an_ack_from_another_thread_makes_room(loop, inbox, channel):
    channel.basic_qos(prefetch_count=1)
    publish(channel, "q", "a", "b")
    channel.basic_recover()
    loop.until(lambda: inbox.messages)
    loop.for_a_while()
    for message in inbox.messages:
        thread = threading.Thread(target=message.ack)
        thread.start()
        thread.join()

    loop.until(lambda: "b" in inbox.bodies)


@pytest.mark.usefixtures("long_waits")
def test_raising_the_limit_delivers_at_once(loop, connection, channel):
    declare(channel, "q")
    channel.basic_qos(prefetch_count=1)
    publish(channel, "q", "a", "b")
    connection.register_with_event_loop(loop.hub)
    inbox = Inbox(connection)
    channel.basic_consume("q", callback=inbox)
    loop.until(lambda: inbox.messages)
    loop.for_a_while()
    assert len(inbox.messages) == 1

    channel.basic_qos(prefetch_count=2)

    loop.until(lambda: len(inbox.messages) == 2)


def test_a_cancelled_consumer_hears_nothing_more(loop, inbox, channel):
    loop.for_a_while()
    channel.basic_cancel("tag")

    publish(channel, "q", "a")
    loop.for_a_while()

    assert inbox.messages == []


def test_an_error_in_a_callback_does_not_silence_the_messages_behind(loop, connection, channel):
    declare(channel, "q")
    seen = []

    def take(message):
        seen.append(message.payload)
        if len(seen) == 1:
            raise LookupError(message.payload)

    publish(channel, "q", "a", "b")
    connection.register_with_event_loop(loop.hub)
    channel.basic_consume("q", callback=take)
    eventually(lambda: count(channel, "q") == 0)
    until = time.monotonic() + LIMIT
    while len(seen) < 2 and time.monotonic() < until:
        try:
            loop.hub.run_once()
        except LookupError:
            continue

    assert seen == ["a", "b"]


@pytest.mark.parametrize("end", ["collect", "release"])
def test_a_connection_that_ends_leaves_nothing_behind_in_the_hub(loop, connection, channel, end):
    before = set(loop.hub.readers)
    declare(channel, "q")
    connection.register_with_event_loop(loop.hub)
    channel.basic_consume("q", callback=print)

    getattr(connection, end)()

    assert set(loop.hub.readers) == before
    loop.for_a_while()


def test_after_a_reconnect_the_hub_delivers_over_the_new_connection_only(loop, inbox, connection, channel):
    before = len(loop.hub.readers)
    connection.collect()
    connection.ensure_connection(max_retries=1)
    connection.register_with_event_loop(loop.hub)
    again = Inbox(connection)
    channel = connection.channel()
    channel.basic_consume("q", callback=again)

    publish(channel, "q", "a")
    loop.until(lambda: again.messages)

    assert len(loop.hub.readers) == before
    assert inbox.messages == []


def test_leaving_the_loop_stops_the_deliveries(loop, inbox, connection, channel):
    connection.transport.unregister_from_event_loop(connection.connection, loop.hub)

    publish(channel, "q", "a")
    loop.for_a_while()

    assert inbox.messages == []
    channel.basic_cancel("tag")
    assert take_all(channel, "q") == ["a"]
