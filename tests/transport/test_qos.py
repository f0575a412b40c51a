"""The prefetch limit: an upper bound of what a channel's consumers hold together."""

from __future__ import annotations

import pytest

from kombu_pool.transport.consume.scheduler import Scheduler
from tests.support.limits import LIMIT
from tests.support.transport.traffic import consume, count, declare, eventually, publish, take_all


@pytest.fixture
def filled(channel):
    """A channel, with the messages 0 to 9 in the queue q."""
    declare(channel, "q")
    publish(channel, "q", *range(10))
    return channel


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_channel_never_holds_more_than_its_limit(filled, limit):
    filled.basic_qos(prefetch_count=limit)
    inbox = consume(filled, "q")
    inbox.wait_for(limit)

    inbox.expect_no_more()

    assert count(filled, "q") == 10 - limit


def test_what_is_buffered_but_not_delivered_counts_too(filled):
    filled.basic_qos(prefetch_count=3)

    consume(filled, "q")

    eventually(lambda: count(filled, "q") == 7)


def test_all_consumers_of_a_channel_share_its_limit(filled):
    declare(filled, "r")
    publish(filled, "r", *range(10))
    filled.basic_qos(prefetch_count=4)
    one, other = consume(filled, "q"), consume(filled, "r")
    while len(one.messages) + len(other.messages) < 4:
        filled.connection.client.drain_events(timeout=LIMIT)

    one.expect_no_more()

    assert count(filled, "q") + count(filled, "r") == 16


def test_channels_have_limits_of_their_own(filled, connection):
    other = connection.channel()
    filled.basic_qos(prefetch_count=2)
    other.basic_qos(prefetch_count=3)
    one, two = consume(filled, "q"), consume(other, "q")
    while len(one.messages) + len(two.messages) < 5:
        connection.drain_events(timeout=LIMIT)

    one.expect_no_more()

    assert (len(one.messages), len(two.messages)) == (2, 3)


def test_what_is_done_is_told_with_the_next_claim_though_another_channels_queue_is_empty(
    filled, connection, monkeypatch
):
    told_apart = []
    genuine = Scheduler.next

    def grant(*arguments, **options):
        granted = genuine(*arguments, **options)
        told_apart.extend(getattr(granted, "leases", ()))
        return granted

    monkeypatch.setattr(Scheduler, "next", grant)
    monkeypatch.setattr(Scheduler, "EMPTY_TTL", 0.0)
    other = connection.channel()
    declare(other, "empty")
    consume(other, "empty")
    filled.basic_qos(prefetch_count=2)

    assert consume(filled, "q", ack=True).wait_for(10)

    assert told_apart == []


@pytest.fixture
def asleep(long_waits, filled):
    """The inbox of q, with a prefetch limit of 1, once the fetcher waits for another channel's queue."""
    declare(filled, "empty")
    filled.basic_qos(prefetch_count=1)
    inbox = consume(filled, "q", ack=True)
    consume(filled.connection.client.channel(), "empty")
    inbox.wait_for(1)
    eventually(
        lambda: any(fetcher._watching is not None for fetcher in filled.connection.dispatcher._fetchers.values())
    )
    return inbox


def test_an_acknowledgement_is_heard_while_another_channels_queue_is_waited_for(asleep):
    assert [message.payload for message in asleep.wait_for(10)] == list(range(10))


def test_a_queue_that_runs_empty_is_waited_for_like_those_that_were(asleep, elsewhere):
    asleep.wait_for(10)
    asleep.expect_no_more()

    publish(elsewhere.channel(), "q", "late")

    assert asleep.wait_for(11)[10].payload == "late"


def test_what_a_channel_has_no_room_for_is_left_for_others(filled, elsewhere):
    filled.basic_qos(prefetch_count=2)
    consume(filled, "q").wait_for(2)

    assert take_all(elsewhere.channel(), "q") == list(range(2, 10))


def test_each_acknowledgement_makes_room_for_one(filled):
    filled.basic_qos(prefetch_count=2)
    inbox = consume(filled, "q")

    inbox.wait_for(2)[0].ack()
    inbox.wait_for(3)

    inbox.expect_no_more()


def test_rejecting_makes_room_too(filled):
    filled.basic_qos(prefetch_count=1)
    inbox = consume(filled, "q")

    inbox.wait_for(1)[0].reject()

    assert inbox.wait_for(2)[1].payload == 1


@pytest.mark.usefixtures("long_waits")
def test_raising_the_limit_fetches_at_once(filled):
    filled.basic_qos(prefetch_count=1)
    inbox = consume(filled, "q")
    inbox.wait_for(1)
    inbox.expect_no_more()

    filled.basic_qos(prefetch_count=4)

    inbox.wait_for(4)
    inbox.expect_no_more()


def test_lowering_the_limit_takes_nothing_away(filled):
    filled.basic_qos(prefetch_count=4)
    inbox = consume(filled, "q")
    held = inbox.wait_for(4)

    filled.basic_qos(prefetch_count=2)
    held[0].ack()
    held[1].ack()
    inbox.expect_no_more()
    held[2].ack()

    assert inbox.wait_for(5)[4].payload == 4


def test_without_a_limit_everything_comes_though_only_some_is_read_ahead(connect):
    channel = connect(read_ahead=4).channel()
    declare(channel, "q")
    publish(channel, "q", *range(20))
    inbox = consume(channel, "q")
    eventually(lambda: count(channel, "q") == 16)

    inbox.wait_for(20)

    assert inbox.bodies == list(range(20))


def test_one_claim_takes_no_more_than_the_read_ahead_whatever_the_limit(connect):
    channel = connect(read_ahead=3).channel()
    declare(channel, "q")
    publish(channel, "q", *range(10))
    channel.basic_qos(prefetch_count=9)
    inbox = consume(channel, "q")

    inbox.wait_for(9)

    inbox.expect_no_more()


def test_a_limit_can_be_taken_away(filled):
    filled.basic_qos(prefetch_count=1)
    inbox = consume(filled, "q")
    inbox.wait_for(1)

    filled.basic_qos(prefetch_count=0)

    inbox.wait_for(10)


def test_messages_got_one_by_one_count_but_are_not_limited(filled):
    filled.basic_qos(prefetch_count=1)

    got = [filled.basic_get("q") for _ in range(3)]
    inbox = consume(filled, "q")
    inbox.expect_no_more()
    for message in got:
        message.ack()

    assert inbox.wait_for(1)[0].payload == 3


def test_celery_may_stop_the_prefetching(filled):
    filled.basic_qos(prefetch_count=5)
    filled.qos.can_consume = lambda: False
    inbox = consume(filled, "q")
    inbox.expect_no_more()

    del filled.qos.can_consume
    filled.basic_qos(prefetch_count=5)

    inbox.wait_for(5)
