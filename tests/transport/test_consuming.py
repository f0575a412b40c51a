"""Consuming: which consumer gets a message, and how it is settled."""

from __future__ import annotations

import pytest
from amqp.exceptions import NotFound

from kombu_pool.errors import StoreFull
from tests.support.limits import LIMIT
from tests.support.transport.traffic import Inbox, consume, consumers, count, declare, eventually, publish, take_all


def test_what_was_published_before_and_after_the_consumer_came_is_delivered(filled):
    inbox = consume(filled, "q", ack=True)
    inbox.wait_for(3)

    publish(filled, "q", "d")
    inbox.wait_for(4)

    assert inbox.bodies == ["a", "b", "c", "d"]


def test_draining_delivers_one_message_at_a_time(filled, connection):
    inbox = consume(filled, "q")

    connection.drain_events(timeout=LIMIT)

    assert inbox.bodies == ["a"]


@pytest.mark.usefixtures("long_waits")
def test_a_consumer_hears_of_what_another_process_publishes_without_being_asked(channel, elsewhere):
    declare(channel, "q")
    inbox = consume(channel, "q")
    inbox.expect_no_more()

    publish(elsewhere.channel(), "q", "a")

    inbox.wait_for(1)
    assert inbox.bodies == ["a"]


def test_consumers_of_one_queue_on_one_channel_take_turns(channel):
    declare(channel, "q")
    inboxes = [consume(channel, "q", ack=True) for _ in range(3)]

    publish(channel, "q", *range(9))
    while sum(len(inbox.messages) for inbox in inboxes) < 9:
        channel.connection.client.drain_events(timeout=LIMIT)

    assert [len(inbox.messages) for inbox in inboxes] == [3, 3, 3]


def test_two_channels_of_a_connection_share_a_queue(connection):
    channels = [connection.channel(), connection.channel()]
    declare(channels[0], "q")
    for channel in channels:
        channel.basic_qos(prefetch_count=1)
    inboxes = [consume(channel, "q") for channel in channels]

    publish(channels[0], "q", "a", "b")
    while not all(inbox.messages for inbox in inboxes):
        connection.drain_events(timeout=LIMIT)

    assert sorted(inboxes[0].bodies + inboxes[1].bodies) == ["a", "b"]


def test_two_connections_share_a_queue(connection, elsewhere):
    ours, theirs = connection.channel(), elsewhere.channel()
    declare(ours, "q")
    inboxes = []
    for channel in (ours, theirs):
        channel.basic_qos(prefetch_count=1)
        inboxes.append(consume(channel, "q"))

    publish(ours, "q", "a", "b")
    for inbox in inboxes:
        inbox.wait_for(1)

    assert sorted(inboxes[0].bodies + inboxes[1].bodies) == ["a", "b"]


def test_one_consumer_may_take_from_many_queues(channel):
    names = [f"q{number}" for number in range(10)]
    declare(channel, *names)
    inbox = Inbox(channel.connection.client, ack=True)
    for name in names:
        channel.basic_consume(name, callback=inbox)

    for name in names:
        publish(channel, name, name)

    assert sorted(message.payload for message in inbox.wait_for(10)) == names


def test_a_long_queue_does_not_starve_a_short_one(channel):
    declare(channel, "long", "short")
    publish(channel, "long", *range(60))
    channel.basic_qos(prefetch_count=4)
    inbox = consume(channel, "long", ack=True)
    other = consume(channel, "short", ack=True)
    inbox.wait_for(4)

    publish(channel, "short", "me too")
    other.wait_for(1)

    assert len(inbox.messages) < 60


def test_cancelling_gives_back_at_once_what_was_buffered(filled, elsewhere):
    consume(filled, "q", consumer_tag="tag")
    theirs = elsewhere.channel()
    eventually(lambda: count(theirs, "q") == 0)

    filled.basic_cancel("tag")

    assert take_all(theirs, "q") == ["a", "b", "c"]


def test_cancelling_leaves_what_was_delivered_to_its_holder(filled, connection, connect):
    inbox = consume(filled, "q", consumer_tag="tag")
    inbox.wait_for(1)

    filled.basic_cancel("tag")

    assert count(filled, "q") == 2
    inbox.messages[0].ack()
    connection.release()
    assert take_all(connect().channel(), "q") == ["b", "c"]


def test_a_cancelled_consumer_gets_nothing_more(channel):
    declare(channel, "q")
    inbox = consume(channel, "q", consumer_tag="tag")

    channel.basic_cancel("tag")
    publish(channel, "q", "a")

    inbox.expect_no_more()
    assert count(channel, "q") == 1


def test_cancelling_one_of_two_consumers_leaves_the_other_one_everything(channel):
    declare(channel, "q")
    cancelled = consume(channel, "q", consumer_tag="tag")
    staying = consume(channel, "q")

    channel.basic_cancel("tag")
    publish(channel, "q", "a", "b", "c")

    assert [message.payload for message in staying.wait_for(3)] == ["a", "b", "c"]
    assert cancelled.messages == []


def test_cancelling_twice_does_no_harm(filled):
    consume(filled, "q", consumer_tag="tag")

    filled.basic_cancel("tag")
    filled.basic_cancel("tag")

    assert count(filled, "q") == 3


def test_a_consumer_may_cancel_itself_in_its_callback(filled, connection):
    seen = []

    def take(message):
        seen.append(message.payload)
        message.ack()
        filled.basic_cancel("tag")

    filled.basic_consume("q", callback=take, consumer_tag="tag")
    connection.drain_events(timeout=LIMIT)

    assert seen == ["a"]
    assert take_all(filled, "q") == ["b", "c"]


def test_consuming_from_a_queue_that_is_not_there_says_so(channel):
    with pytest.raises(NotFound, match="no queue 'absent'"):
        channel.basic_consume("absent", callback=print)


def test_the_consumers_of_a_queue_are_counted(channel, elsewhere):
    declare(channel, "q")
    consume(channel, "q", consumer_tag="one")
    consume(elsewhere.channel(), "q")
    assert consumers(channel, "q") == 2

    channel.basic_cancel("one")

    assert consumers(channel, "q") == 1


def test_getting_from_an_empty_queue_gives_none(channel):
    declare(channel, "q")

    assert channel.basic_get("q") is None


def test_getting_without_acknowledgement_takes_the_message_for_good(filled, connection, connect):
    assert filled.basic_get("q", no_ack=True).payload == "a"
    connection.release()

    assert take_all(connect().channel(), "q") == ["b", "c"]


def test_closing_a_channel_gives_back_at_once_what_it_holds(filled, elsewhere):
    filled.basic_get("q")
    consume(filled, "q").wait_for(1)

    filled.close()

    assert take_all(elsewhere.channel(), "q") == ["a", "b", "c"]


def test_a_closed_channel_gets_nothing_more(filled, connection):
    filled.close()

    with pytest.raises(connection.connection_errors, match="closed"):
        filled.basic_get("q")
    with pytest.raises(connection.connection_errors, match="closed"):
        filled.basic_consume("q", callback=print)


def test_closing_a_channel_leaves_the_others_of_its_connection_alone(filled, connection):
    other = connection.channel()
    inbox = consume(filled, "q", ack=True)

    other.close()

    assert len(inbox.wait_for(3)) == 3


def test_flow_stops_the_deliveries_of_a_channel_and_resumes_them(channel):
    declare(channel, "q")
    inbox = consume(channel, "q", ack=True)
    inbox.expect_no_more()
    channel.flow(active=False)
    publish(channel, "q", "a")
    inbox.expect_no_more()

    channel.flow(active=True)

    assert [message.payload for message in inbox.wait_for(1)] == ["a"]


def test_a_connection_closes_though_the_store_failed_as_a_consumer_was_added(connection, channel, monkeypatch):
    declare(channel, "q")

    def fail(*arguments, **options):
        raise StoreFull("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(channel._queues, "add_consumer", fail)
        with pytest.raises(StoreFull):
            consume(channel, "q")

    connection.release()

    assert not connection.connected
