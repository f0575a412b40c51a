"""An expiration of 0, and ``x-message-ttl`` 0: for consumers that wait when the message comes, and for no other."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest

from kombu_pool.transport.declare.queues import Queues
from tests.support.transport.traffic import consume, count, declare, eventually, exists, publish, task_with_eta

NUMBER = 20
TO_DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@pytest.fixture(params=["message", "queue"])
def publish_zero(request, channel):
    """Declare the queue q, and return a function that publishes to it with a ttl of 0: the message's or the queue's."""
    declare(channel, "dead")
    options = {"expiration": 0} if request.param == "message" else {}
    arguments = TO_DEAD if request.param == "message" else {**TO_DEAD, "x-message-ttl": 0}
    declare(channel, "q", arguments=arguments)
    return lambda where, *bodies: publish(where, "q", *bodies, **options)


def dead(channel):
    """Return (body, reason) of the dead letters so far."""
    channel.connection.broker.maintenance.run_once()
    found = []
    while (message := channel.basic_get("dead", no_ack=True)) is not None:
        found.append((message.payload, message.headers["x-death"][0]["reason"]))
    return found


def wait_a_moment():
    """Wait until the store's clock shows another time than at the last publish."""
    time.sleep(0.1)


def test_a_time_to_live_of_a_second_asks_for_no_consumer(channel, monkeypatch):
    asked = []
    monkeypatch.setattr(Queues, "has_consumer", lambda _, queue: asked.append(queue))
    declare(channel, "q")

    publish(channel, "q", "a", expiration=1)
    assert asked == []

    publish(channel, "q", "a", expiration=0)
    assert asked == ["q"]


def test_an_idle_consumer_gets_every_message(channel, elsewhere, publish_zero):
    inbox = consume(channel, "q", ack=True)

    for number in range(NUMBER):
        publish_zero(elsewhere.channel(), number)
        inbox.wait_for(number + 1)

    assert inbox.bodies == list(range(NUMBER))


def test_an_idle_consumer_gets_a_burst(channel, elsewhere, publish_zero):
    inbox = consume(channel, "q", ack=True)

    publish_zero(elsewhere.channel(), *range(NUMBER))

    inbox.wait_for(NUMBER)
    assert inbox.bodies == list(range(NUMBER))


def test_an_idle_consumer_with_a_prefetch_limit_gets_each_message(channel, publish_zero):
    channel.basic_qos(prefetch_count=1)
    inbox = consume(channel, "q")

    for number in range(NUMBER):
        publish_zero(channel, number)
        inbox.wait_for(number + 1)[-1].ack()

    assert inbox.bodies == list(range(NUMBER))


def test_without_a_consumer_a_message_is_dead_at_once(channel, publish_zero):
    publish_zero(channel, "a")
    eventually(lambda: count(channel, "q") == 0, limit=0.5)

    assert channel.basic_get("q") is None
    wait_a_moment()
    consume(channel, "q").expect_no_more()
    channel.connection.client.release()


def test_without_a_consumer_a_message_is_dead_lettered(channel, publish_zero):
    publish_zero(channel, "a")

    assert eventually(lambda: dead(channel)) == [("a", "expired")]


def test_a_consumer_without_a_free_slot_does_not_wait(channel, publish_zero):
    channel.basic_qos(prefetch_count=1)
    inbox = consume(channel, "q")
    publish_zero(channel, "first")
    (first,) = inbox.wait_for(1)

    publish_zero(channel, "too early")
    wait_a_moment()
    first.ack()
    inbox.expect_no_more()
    publish_zero(channel, "second")
    inbox.wait_for(2)

    assert inbox.bodies == ["first", "second"]
    assert eventually(lambda: dead(channel)) == [("too early", "expired")]


def test_what_exceeds_the_free_slots_is_dead(channel, publish_zero):
    channel.basic_qos(prefetch_count=2)
    inbox = consume(channel, "q")

    publish_zero(channel, *range(5))
    inbox.wait_for(2)
    wait_a_moment()
    for message in inbox.messages:
        message.ack()

    inbox.expect_no_more()
    assert inbox.bodies == [0, 1]


def test_a_consumer_takes_other_messages_past_expired_ones(channel):
    declare(channel, "q")
    channel.basic_qos(prefetch_count=1)
    inbox = consume(channel, "q")
    publish(channel, "q", "first")
    (first,) = inbox.wait_for(1)
    publish(channel, "q", "too early", expiration=0)
    publish(channel, "q", "lasting", "brief", expiration=60)
    wait_a_moment()

    first.ack()
    inbox.wait_for(2)[-1].ack()
    inbox.wait_for(3)

    assert inbox.bodies == ["first", "lasting", "brief"]


def test_getting_takes_no_message_from_a_waiting_consumer(channel, elsewhere):
    declare(channel, "q")
    inbox = consume(channel, "q", ack=True)
    publish(elsewhere.channel(), "q", "a", expiration=0)

    assert elsewhere.channel().basic_get("q") is None
    assert inbox.wait_for(1)[0].payload == "a"


def test_a_delayed_task_without_time_to_live_reaches_an_idle_consumer(channel, publish_zero):
    inbox = consume(channel, "q")
    due = datetime.now(timezone.utc) + timedelta(seconds=0.3)
    publish(channel, "q", "later", expiration=0, headers=task_with_eta(due.isoformat()))

    assert inbox.wait_for(1)[0].payload == "later"


def test_one_second_is_no_time_to_live_of_0(channel):
    declare(channel, "q")
    publish(channel, "q", "a", expiration=1)

    assert channel.basic_get("q").payload == "a"
    assert exists(channel, "q")
