"""A signal handler may raise anywhere in a delivery or an acknowledgement: the message is given back within a second.

The interrupted thread does nothing for that: it holds on to the exception, and calls nothing.
"""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.support.interrupts import interruptions
from tests.support.transport.stores import STORES_OF_ONE_PROCESS
from tests.support.transport.traffic import declare, eventually, publish

# A generator that is closed by an exception may be interrupted once more, of which CPython says so.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

#: Every so many-th point of a call is interrupted.
STEP = 3
#: Messages in the queue, of which few are taken.
MANY = 400


@pytest.fixture
def within(store_name):
    """The package whose code is interrupted: a lock of pymongo may stay held if its own code is."""
    return "kombu_pool" if store_name == "mongodb" else ""


@pytest.fixture(params=["sqlite", "redis", "redis-cluster", "mongodb"])
def store_name(request):
    """Not in memory: what a process has changed there half is half changed."""
    return request.param


@pytest.fixture
def url(store_name, tmp_path):
    return f"pool+{STORES_OF_ONE_PROCESS[store_name].uri(tmp_path)}"


@pytest.fixture
def consumed(connection):
    """A channel, and what its consumer gets."""
    channel = connection.channel()
    channel.basic_qos(0, 5)
    declare(channel, "q")
    publish(channel, "q", *range(MANY))
    return channel


def counts(channel):
    found = channel.connection.broker.data.queue_controller.stats("q")["messages"]
    return found["total"], found["claimed"]


def get(channel, got):
    message = channel.basic_get("q")
    got.append(message)
    message.ack()


def drain(channel, got):
    channel.connection.dispatcher.drain_events(timeout=5)
    got[-1].ack()


def given_back(channel, got):
    """Return whether only those messages are claimed that the consumer got and did not acknowledge."""
    held = [message for message in got if message.delivery_tag in channel._unacked]
    ready = len(channel.connection.dispatcher.inbox.ready())
    _, claimed = counts(channel)
    return claimed == len(held) + ready


def test_a_message_whose_delivery_was_broken_off_is_given_back(consumed, within):
    channel, got = consumed, []
    get(channel, got)

    points = 0
    for _ in interruptions(lambda: get(channel, got), every=STEP, within=within):
        points += 1
        if points % 10 == 0:
            eventually(lambda: given_back(channel, got))

    eventually(lambda: given_back(channel, got))
    assert points > 20


def test_a_consumer_goes_on_after_deliveries_were_broken_off(consumed, within):
    channel, got = consumed, []
    channel.basic_consume("q", callback=got.append)
    drain(channel, got)

    points = 0
    for _ in interruptions(lambda: drain(channel, got), every=STEP, within=within):
        points += 1
        if points % 10 == 0:
            eventually(lambda: given_back(channel, got))
        for message in got:
            if message.delivery_tag in channel._unacked:
                message.ack()
        got.clear()

    def is_consumed():
        with suppress(TimeoutError):
            while True:
                channel.connection.dispatcher.drain_events(timeout=0.1)
                got[-1].ack()
        return counts(channel) == (0, 0)

    eventually(is_consumed)
    # Of a delivery that needs no claim, with its acknowledgement; others have several times as many.
    assert points > 6
