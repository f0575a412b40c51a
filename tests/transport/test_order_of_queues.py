"""From which queue, and for which consumer, the next message is: queue_order_strategy and x-priority."""

from __future__ import annotations

import logging

import pytest
from amqp.exceptions import PreconditionFailed

from kombu_pool.errors import ConfigurationError
from kombu_pool.transport.consume import priorities
from tests.support.transport.traffic import Inbox, consume, declare, eventually, publish


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("sorted", "a a a m m m z z z"), ("priority", "z z z a a a m m m"), ("round_robin", "z a m z a m z a m")],
)
def test_the_order_of_queues_is_what_the_option_says(connect, strategy, expected):
    channel = connect(queue_order_strategy=strategy).channel()
    inbox = Inbox(channel.connection.client, ack=True)
    for queue in "zam":
        declare(channel, queue)
        publish(channel, queue, *[queue] * 3)
    channel.basic_qos(prefetch_count=1)
    channel.flow(active=False)
    for queue in "zam":
        channel.basic_consume(queue, callback=inbox)

    channel.flow(active=True)
    inbox.wait_for(9)

    if len(channel.connection.dispatcher.scheduler.places) > 1:
        # The nodes of a cluster take turns.
        assert sorted(inbox.bodies) == sorted(expected.split())
    else:
        assert " ".join(inbox.bodies) == expected


def test_another_order_is_refused(connect):
    with pytest.raises(ConfigurationError, match="queue_order_strategy"):
        connect(queue_order_strategy="random").connect()


def test_consumers_of_a_lower_priority_get_what_the_others_have_no_slots_for(connection):
    low, high = connection.channel(), connection.channel()
    declare(low, "q")
    for channel in low, high:
        channel.basic_qos(prefetch_count=1)
    lower = consume(low, "q", arguments={"x-priority": 1})
    higher = consume(high, "q", arguments={"x-priority": 5})
    scheduler = high.connection.dispatcher.scheduler

    def found_empty():
        """Claims of one place follow one another: one for the lower consumer that began earlier has ended, too."""
        return scheduler.served()[1].empty_until > 0

    eventually(found_empty)

    publish(low, "q", "first")
    held = higher.wait_for(1)[0]
    publish(low, "q", "second")
    lower.wait_for(1)[0].ack()
    held.ack()
    eventually(lambda: high.qos.outstanding() == 0)
    eventually(found_empty)
    publish(low, "q", "third")

    higher.wait_for(2)
    assert (higher.bodies, lower.bodies) == (["first", "third"], ["second"])


def test_the_consumers_of_one_channel_have_priorities_too(channel):
    declare(channel, "q")
    lower = consume(channel, "q", ack=True, arguments={"x-priority": -1})
    higher = consume(channel, "q", ack=True)

    publish(channel, "q", *range(4))
    higher.wait_for(4)

    assert lower.bodies == []


@pytest.mark.parametrize("value", ["high", 1.5, True])
def test_a_priority_that_is_no_integer_is_refused(channel, value):
    declare(channel, "q")

    with pytest.raises(PreconditionFailed, match="x-priority must be an integer"):
        channel.basic_consume("q", arguments={"x-priority": value})


def test_what_a_priority_does_not_order_is_logged_once(channel, caplog, monkeypatch):
    monkeypatch.setattr(priorities, "_told", set())
    declare(channel, "q")

    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            channel.basic_consume("q", arguments={"x-priority": 1})

    assert [record.getMessage() for record in caplog.records if record.name == priorities.__name__] == [
        "x-priority orders the consumers of one connection, not those of several"
    ]
