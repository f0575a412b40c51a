"""Batches: ``Producer.batch`` posts many messages together."""

from __future__ import annotations

import pytest
from kombu import Connection, Producer

from tests.support.transport.traffic import count, declare, take_all

pytestmark = pytest.mark.skipif(not hasattr(Producer, "batch"), reason="batches came with Kombu 5.7")


@pytest.fixture
def producer(channel):
    """A producer; the queues q and r are declared on its channel."""
    declare(channel, "q", "r")
    return Producer(channel)


def test_a_batch_arrives_whole_and_in_order(producer, channel):
    with producer.batch():
        for number in range(100):
            producer.publish(number, routing_key="q")

    assert take_all(channel, "q") == list(range(100))


def test_nothing_is_stored_before_the_batch_ends(producer, channel):
    with producer.batch():
        producer.publish("a", routing_key="q")
        assert count(channel, "q") == 0

    assert count(channel, "q") == 1


def test_a_full_batch_flushes_itself(producer, channel):
    with producer.batch(max_size=2):
        for number in range(5):
            producer.publish(number, routing_key="q")
        assert count(channel, "q") == 4

    assert count(channel, "q") == 5


def test_a_batch_can_be_flushed_on_the_way(producer, channel):
    with producer.batch() as batch:
        producer.publish("a", routing_key="q")
        batch.flush()
        assert count(channel, "q") == 1
        producer.publish("b", routing_key="q")

    assert take_all(channel, "q") == ["a", "b"]


def test_a_batch_that_fails_publishes_nothing(producer, channel):
    def fail():
        with producer.batch():
            producer.publish("a", routing_key="q")
            raise LookupError

    with pytest.raises(LookupError):
        fail()

    assert count(channel, "q") == 0


def test_a_batch_goes_to_many_queues_over_any_exchange(producer, channel):
    for queue in ("q", "r"):
        channel.queue_bind(queue, "amq.fanout")
    with producer.batch():
        producer.publish("both", exchange="amq.fanout")
        producer.publish("one", routing_key="r")

    assert take_all(channel, "q") == ["both"]
    assert take_all(channel, "r") == ["both", "one"]


def test_messages_of_a_batch_keep_what_they_carry(producer, channel):
    with producer.batch():
        producer.publish("low", routing_key="q", headers={"n": 1})
        producer.publish("high", routing_key="q", priority=5, headers={"n": 2})

    messages = [channel.basic_get("q") for _ in range(2)]

    assert [(message.payload, message.headers) for message in messages] == [("high", {"n": 2}), ("low", {"n": 1})]


def test_a_queue_that_goes_before_the_flush_takes_nothing_and_the_others_all(producer, channel):
    with producer.batch():
        producer.publish("a", routing_key="q")
        producer.publish("b", routing_key="r")
        channel.queue_delete("q")

    assert take_all(channel, "r") == ["b"]


def test_the_same_prepared_message_may_go_twice_into_a_batch(channel):
    declare(channel, "q", "r")
    message = channel.prepare_message(b"a", content_type="text/plain", content_encoding="utf-8")
    batch = channel.create_publish_batch(max_size=10)

    batch.publish(message, routing_key="q")
    batch.publish(message, routing_key="r")
    batch.flush()

    assert [channel.basic_get(queue).delivery_info["routing_key"] for queue in ("q", "r")] == ["q", "r"]


def test_a_batch_takes_nothing_once_it_is_closed(channel):
    batch = channel.create_publish_batch(max_size=10)
    batch.close()

    with pytest.raises(RuntimeError, match="closed"):
        batch.publish(channel.prepare_message(b"a"), routing_key="q")


def test_the_transport_says_that_it_has_batches():
    assert Connection("pool+memory://batches").transport.implements.batch_publish
