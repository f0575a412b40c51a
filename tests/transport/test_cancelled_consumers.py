"""A consumer whose queue is gone learns of it, as on RabbitMQ; what the client itself ends is told to no consumer."""

from __future__ import annotations

import threading
import time

import pytest
from amqp.exceptions import ConsumerCancelled
from kombu import Exchange, Queue

from kombu_pool.transport import Transport
from tests.support.limits import best_of
from tests.support.transport.traffic import count, declare, exists, outlast_trust, publish, take_all

#: The promise, in seconds.
PROMISE = 1.0


def consume(channel, queue="q", **options):
    """Consume from the queue; return the list of what comes."""
    got = []
    channel.basic_consume(queue, callback=got.append, consumer_tag="mine", **options)
    return got


def told_within(connection, action):
    """Return how long after the action the consumer is told, in seconds."""
    thread = threading.Timer(0.2, action)
    thread.start()
    try:
        with pytest.raises(ConsumerCancelled):
            connection.drain_events(timeout=30)
        return time.monotonic() - action.at
    finally:
        thread.join()


class At:
    """An action, and the time at which it began."""

    def __init__(self, action):
        self._action = action

    def __call__(self):
        self.at = time.monotonic()
        self._action()


def test_the_error_is_one_after_which_kombu_connects_again():
    assert issubclass(ConsumerCancelled, Transport.connection_errors)
    assert issubclass(ConsumerCancelled, Transport.recoverable_connection_errors)


def test_a_consumer_of_a_deleted_queue_is_told_within_a_second(connection, channel, elsewhere):
    other = elsewhere.channel()

    def attempt():
        declare(channel, "q")
        consume(channel)
        return told_within(connection, At(lambda: other.queue_delete("q")))

    assert best_of(attempt, PROMISE) <= PROMISE


def test_on_cancel_is_called_in_place_of_the_error(connection, channel, elsewhere):
    declare(channel, "q")
    told = []
    consume(channel, on_cancel=told.append)

    elsewhere.channel().queue_delete("q")
    connection.drain_events(timeout=30)

    assert told == ["mine"]
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.3)
    assert told == ["mine"]


def test_every_consumer_of_the_queue_is_told(connection, channel, elsewhere):
    declare(channel, "q")
    told = []
    for tag in ("a", "b"):
        channel.basic_consume("q", consumer_tag=tag, on_cancel=told.append)
    second = connection.channel()
    second.basic_consume("q", consumer_tag="c", no_ack=True, on_cancel=told.append)

    elsewhere.channel().queue_delete("q")
    for _ in range(3):
        connection.drain_events(timeout=30)

    assert sorted(told) == ["a", "b", "c"]


def test_the_channel_that_deletes_is_told_too(connection, channel):
    declare(channel, "q")
    consume(channel)

    channel.queue_delete("q")

    with pytest.raises(ConsumerCancelled):
        connection.drain_events(timeout=30)


def test_consumers_of_other_queues_go_on(connection, channel, elsewhere):
    for queue in ("q", "other"):
        declare(channel, queue)
    told = []
    consume(channel, on_cancel=told.append)
    got = []
    channel.basic_consume("other", callback=got.append)

    elsewhere.channel().queue_delete("q")
    connection.drain_events(timeout=30)
    publish(channel, "other", "body")
    connection.drain_events(timeout=30)

    assert (told, [message.body for message in got]) == (["mine"], [b"body"])


def test_a_queue_that_was_declared_again_is_another_one(connection, channel, elsewhere):
    declare(channel, "q")
    got = consume(channel)
    other = elsewhere.channel()

    other.queue_delete("q")
    declare(other, "q")
    publish(other, "q", "for the next consumer")

    with pytest.raises(ConsumerCancelled):
        connection.drain_events(timeout=30)
    assert got == []
    assert take_all(other, "q") == ["for the next consumer"]


def test_the_consumer_may_declare_and_consume_again(connection, channel, elsewhere):
    declare(channel, "q")
    consume(channel)
    elsewhere.channel().queue_delete("q")
    with pytest.raises(ConsumerCancelled):
        connection.drain_events(timeout=30)

    declare(channel, "q")
    got = consume(channel)
    publish(channel, "q", "body")
    connection.drain_events(timeout=30)

    assert [message.body for message in got] == [b"body"]


def test_a_second_consumer_of_the_next_life_stays(connection, channel, elsewhere):
    declare(channel, "q")
    told = []
    consume(channel, on_cancel=told.append)
    elsewhere.channel().queue_delete("q")
    declare(channel, "q")
    got = []
    channel.basic_consume("q", callback=got.append, consumer_tag="second", on_cancel=told.append)

    publish(channel, "q", "body")
    while not (told and got):
        connection.drain_events(timeout=30)

    assert told == ["mine"]
    assert [message.body for message in got] == [b"body"]


def test_messages_in_hand_are_acknowledged_without_a_word(connection, channel, elsewhere, caplog):
    declare(channel, "q")
    got = consume(channel)
    publish(channel, "q", "body")
    connection.drain_events(timeout=30)
    elsewhere.channel().queue_delete("q")
    with pytest.raises(ConsumerCancelled):
        connection.drain_events(timeout=30)

    got[0].ack()
    channel._settlement.flush()

    assert "late" not in caplog.text


@pytest.mark.parametrize("end", ["basic_cancel", "close", "release"])
def test_what_the_client_ends_tells_no_consumer(connection, channel, elsewhere, end):
    channel.queue_declare("q", auto_delete=True)
    told = []
    consume(channel, on_cancel=told.append)
    second = connection.channel()

    if end == "basic_cancel":
        channel.basic_cancel("mine")
    elif end == "close":
        channel.close()
    else:
        connection.release()

    if end != "release":
        declare(second, "other")
        second.basic_consume("other")
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.3)
    assert told == []
    assert not exists(elsewhere.channel(), "q")


def test_a_consumer_whose_registration_ended_is_told(connect):
    connection = connect(claim_ttl=1)
    channel = connection.channel()
    declare(channel, "q")
    told = []
    consume(channel, on_cancel=told.append)
    (consumer,) = channel._consumers.values()

    # As if the process had been stopped until others gave it up.
    channel._queues._consumers.remove_holders([consumer.holder])
    connection.drain_events(timeout=30)

    assert told == ["mine"]


def test_a_pool_that_lost_a_queue_gets_it_back_and_the_consumer_stays(connection, channel):
    declare(channel, "q")
    told = []
    got = consume(channel, on_cancel=told.append)
    pool = channel._queues._data.catalog.pool("q")

    pool.queues.delete("q")
    publish(channel, "q", "body")
    connection.drain_events(timeout=30)

    assert [message.body for message in got] == [b"body"]
    assert told == []


# Publishing.


@pytest.fixture
def queue():
    return Queue("q", Exchange("x"), routing_key="key")


@pytest.mark.parametrize("exchange", ["", "x"])
def test_a_publish_to_a_declared_queue_that_is_gone_fails_once(connection, channel, elsewhere, queue, exchange):
    producer = connection.Producer(channel)
    key = "key" if exchange else "q"
    producer.publish("a", exchange=exchange, routing_key=key, declare=[queue])
    elsewhere.channel().queue_delete("q")

    with pytest.raises(connection.recoverable_connection_errors, match="'q' was deleted"):
        producer.publish("b", exchange=exchange, routing_key=key, declare=[queue])

    # As in AMQP: unroutable.
    producer.publish("c", exchange=exchange, routing_key=key, declare=[queue])
    assert not exists(elsewhere.channel(), "q")


@pytest.mark.parametrize("exchange", ["", "x"])
def test_a_retried_publish_declares_the_queue_again(connection, channel, elsewhere, queue, exchange):
    producer = connection.Producer(channel)
    key = "key" if exchange else "q"
    publish_again = {"exchange": exchange, "routing_key": key, "declare": [queue], "retry": True}
    producer.publish("a", **publish_again)
    elsewhere.channel().queue_delete("q")

    producer.publish("b", retry_policy={"interval_start": 0.01}, **publish_again)

    assert count(elsewhere.channel(), "q") == 1


def test_what_another_queue_of_the_exchange_holds_is_not_stored_again(connection, channel, elsewhere):
    fanout = Exchange("all", "fanout")
    queues = [Queue(name, fanout) for name in ("one", "two")]
    producer = connection.Producer(channel)
    to_all = {"exchange": fanout, "declare": queues, "retry": True, "retry_policy": {"interval_start": 0.01}}
    producer.publish("a", **to_all)
    elsewhere.channel().queue_delete("two")

    producer.publish("b", **to_all)

    assert (count(elsewhere.channel(), "one"), count(elsewhere.channel(), "two")) == (2, 1)


def test_each_queue_of_an_exchange_that_is_gone_fails_a_publish(connection, channel, elsewhere):
    fanout = Exchange("all", "fanout")
    queues = [Queue(name, fanout) for name in ("one", "two")]
    producer = connection.Producer(channel)
    producer.publish("a", exchange=fanout, declare=queues)
    for queue in queues:
        elsewhere.channel().queue_delete(queue.name)

    for _ in queues:
        with pytest.raises(connection.recoverable_connection_errors, match="was deleted"):
            producer.publish("b", exchange=fanout)
    producer.publish("c", exchange=fanout)


def test_a_queue_that_the_connection_deleted_itself_fails_no_publish(connection, channel, queue):
    producer = connection.Producer(channel)
    producer.publish("a", exchange="x", routing_key="key", declare=[queue])
    connection.channel().queue_delete("q")

    producer.publish("b", exchange="x", routing_key="key", declare=[queue])
    producer.publish("b", exchange="", routing_key="q", declare=[queue])


@pytest.mark.parametrize("properties", [{"auto_delete": True}, {"expires": 60}, {"exclusive": True}])
def test_a_queue_that_ends_by_its_own_arguments_fails_no_publish(connection, channel, elsewhere, properties):
    queue = Queue("q", Exchange("x"), routing_key="key", **properties)
    queue(channel).declare()
    channel.connection.broker.data.queue_controller.delete("q")
    producer = connection.Producer(channel)

    producer.publish("b", exchange="x", routing_key="key")
    producer.publish("b", exchange="", routing_key="q")


def test_an_unbound_queue_fails_no_publish(connection, channel, elsewhere, queue):
    producer = connection.Producer(channel)
    producer.publish("a", exchange="x", routing_key="key", declare=[queue])
    elsewhere.channel().queue_unbind("q", "x", "key")
    outlast_trust(channel)

    producer.publish("b", exchange="x", routing_key="key")

    assert count(elsewhere.channel(), "q") == 1


def test_a_mandatory_message_fails_before_it_is_returned(connection, channel, elsewhere, queue):
    returned = []
    producer = connection.Producer(channel, on_return=lambda *args: returned.append(args))
    producer.publish("a", exchange="x", routing_key="key", declare=[queue])
    elsewhere.channel().queue_delete("q")

    with pytest.raises(connection.recoverable_connection_errors):
        producer.publish("b", exchange="x", routing_key="key", mandatory=True)
    assert returned == []

    producer.publish("b", exchange="x", routing_key="key", mandatory=True)
    assert len(returned) == 1


def test_a_queue_that_is_deleted_before_it_is_consumed_ends_no_worker(connection, channel, elsewhere):
    declare(channel, "q")
    elsewhere.channel().queue_delete("q")
    with pytest.raises(connection.recoverable_connection_errors, match="'q' was deleted"):
        channel.basic_consume("q")

    declare(channel, "q")
    channel.queue_delete("q")
    with pytest.raises(connection.channel_errors, match="NOT_FOUND"):
        channel.basic_consume("q")


def test_a_queue_that_is_deleted_between_its_declaration_and_its_binding_is_declared_again(
    connection, channel, elsewhere
):
    channel.exchange_declare("x")
    channel.queue_declare("q", arguments={"x-max-length": 5})
    elsewhere.channel().queue_delete("q")

    channel.queue_bind("q", "x", "key")

    elsewhere.channel().queue_declare("q", arguments={"x-max-length": 5})
    elsewhere.channel().queue_delete("q")
    with pytest.raises(connection.recoverable_connection_errors, match="'q' was deleted"):
        channel.queue_bind("q", "x", "another")
