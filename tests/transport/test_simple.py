"""Kombu's conveniences: simple queues, mixins, pools of connections, ``eventloop``."""

from __future__ import annotations

import socket
import threading

import pytest
from amqp.exceptions import NotFound
from kombu import Connection, Consumer, Exchange, Queue
from kombu.common import collect_replies, itermessages, maybe_declare, send_reply
from kombu.mixins import ConsumerMixin, ConsumerProducerMixin
from kombu.pools import connections, producers
from kombu.pools import reset as reset_pools

from kombu_pool import errors
from tests.support.limits import LIMIT, best_of, seconds_of
from tests.support.transport.traffic import count, declare, eventually, exists, publish, take_all


def test_a_simple_queue_puts_and_gets(connection):
    queue = connection.SimpleQueue("q")
    queue.put({"a": 1})
    assert queue.qsize() == 1

    message = queue.get(timeout=LIMIT)
    message.ack()

    assert message.payload == {"a": 1}
    queue.close()


def test_a_simple_queue_that_is_empty_says_so(connection):
    with connection.SimpleQueue("q") as queue:
        with pytest.raises(queue.Empty):
            queue.get(timeout=0.1)
        with pytest.raises(queue.Empty):
            queue.get_nowait()


def test_a_simple_queue_can_be_cleared(connection):
    with connection.SimpleQueue("q") as queue:
        queue.put("a")
        queue.put("b")

        assert queue.clear() == 2


def test_a_simple_buffer_forgets_nothing_while_it_is_used(connection):
    with connection.SimpleBuffer("q") as buffer:
        buffer.put("a")

        assert buffer.get(timeout=LIMIT).payload == "a"


def test_a_queue_entity_gets(channel):
    queue = Queue("q", Exchange("e"), "k")(channel)
    queue.declare()
    assert queue.get() is None

    publish(channel, "k", "a", exchange="e")

    assert queue.get().payload == "a"


def test_a_queue_entity_gets_for_good(channel):
    queue = Queue("q")(channel)
    queue.declare()
    publish(channel, "q", "a")

    assert queue.get(no_ack=True).payload == "a"
    channel.basic_recover()
    assert queue.get() is None


def test_a_queue_entity_is_purged_unbound_and_deleted(channel):
    queue = Queue("q", Exchange("e"), "k")(channel)
    queue.declare()
    publish(channel, "k", "a", "b", exchange="e")

    assert queue.purge() == 2
    queue.unbind_from(Exchange("e"), "k")
    publish(channel, "k", "c", exchange="e")
    assert queue.get() is None
    queue.delete()
    assert not exists(channel, "q")


def test_an_exchange_entity_publishes_and_is_deleted(channel):
    exchange = Exchange("e", type="fanout")(channel)
    exchange.declare()
    Queue("q", exchange)(channel).declare()

    exchange.publish(exchange.Message("text", content_type="text/plain"), routing_key="")

    assert take_all(channel, "q") == ["text"]
    exchange.delete()
    with pytest.raises(NotFound):
        exchange.declare(passive=True)


def test_an_entity_is_declared_once_however_often_one_asks(connection):
    channel = connection.channel()
    queue = Queue("q", Exchange("e"), "k")

    assert maybe_declare(queue, channel, retry=True)
    assert not maybe_declare(queue, channel, retry=True)
    assert exists(channel, "q")


def test_messages_can_be_iterated_over(connection):
    declare(connection.channel(), "q")
    publish(connection.channel(), "q", *range(5))

    bodies = [
        (message.ack(), body)[1]
        for body, message in itermessages(connection, connection.channel(), Queue("q"), limit=5, timeout=LIMIT)
    ]

    assert bodies == list(range(5))
    assert count(connection.channel(), "q") == 0


def test_a_reply_is_collected(connection):
    declare(connection.channel(), "requests", "replies")
    publish(connection.channel(), "requests", {"the": "question"}, reply_to="replies", correlation_id="c")
    request = connection.channel().basic_get("requests")

    with connection.Producer() as producer:
        send_reply(Exchange(""), request, {"the": "answer"}, producer, retry=True)

    assert list(collect_replies(connection, connection.channel(), Queue("replies"), timeout=LIMIT, limit=1)) == [
        {"the": "answer"}
    ]


def test_a_consumer_mixin_consumes(connection):
    declare(connection.channel(), "q")
    publish(connection.channel(), "q", "a", "b")

    class Worker(ConsumerMixin):
        def __init__(self):
            self.connection = connection
            self.seen = []

        def get_consumers(self, Consumer, channel):  # noqa: N803 - Kombu's name
            return [Consumer([Queue("q")], callbacks=[self.take])]

        def take(self, body, message):
            self.seen.append(body)
            message.ack()
            self.should_stop = len(self.seen) == 2

    worker = Worker()
    worker.run()

    assert worker.seen == ["a", "b"]


def test_a_consumer_producer_mixin_answers(connect):
    ours = connect()
    declare(ours.channel(), "requests", "replies")
    publish(ours.channel(), "requests", 20, reply_to="replies", correlation_id="c")

    class Server(ConsumerProducerMixin):
        connection = connect()

        def get_consumers(self, Consumer, channel):  # noqa: N803 - Kombu's name
            return [Consumer([Queue("requests")], callbacks=[self.answer])]

        def answer(self, body, message):
            self.producer.publish(
                body + 1,
                routing_key=message.properties["reply_to"],
                correlation_id=message.properties["correlation_id"],
            )
            message.ack()
            self.should_stop = True

    server = Server()
    server.run()
    server.producer_connection.release()

    reply = ours.channel().basic_get("replies")
    assert (reply.payload, reply.properties["correlation_id"]) == (21, "c")


def test_producers_and_connections_can_be_pooled(connection):
    declare(connection.channel(), "q")
    try:
        with producers[connection].acquire(block=True) as producer:
            producer.publish("a", routing_key="q")
        with connections[connection].acquire(block=True) as pooled:
            assert take_all(pooled.default_channel, "q") == ["a"]
    finally:
        reset_pools()


def test_a_pooled_producer_comes_back_to_use(connection):
    declare(connection.channel(), "q")
    pool = connection.Pool(limit=2)
    for number in range(6):
        with pool.acquire(block=True) as pooled:
            pooled.Producer().publish(number, routing_key="q")
    pool.force_close_all()

    assert take_all(connection.channel(), "q") == list(range(6))


def test_draining_without_a_message_times_out(channel, connection):
    declare(channel, "q")
    channel.basic_consume("q", callback=print)

    def drain():
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=0.2)

    assert 0.2 <= best_of(lambda: seconds_of(drain), 2) < 2


def test_draining_with_a_timeout_of_0_does_not_wait(channel, connection):
    declare(channel, "q")
    channel.basic_consume("q", callback=print)

    def drain():
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=0)

    assert best_of(lambda: seconds_of(drain), 1) < 1


def test_draining_without_consumers_times_out_too(connection):
    connection.channel()

    with pytest.raises(socket.timeout):
        connection.drain_events(timeout=0.05)


def test_draining_without_a_timeout_waits_for_the_next_message(channel, connection, elsewhere):
    declare(channel, "q")
    seen = []
    channel.basic_consume("q", callback=seen.append)
    later = threading.Timer(0.3, publish, (elsewhere.channel(), "q", "a"))
    later.start()

    connection.drain_events()
    later.join()

    assert [message.payload for message in seen] == ["a"]


def test_an_error_in_a_callback_comes_out_of_the_drain_and_the_message_is_still_held(channel, connection):
    declare(channel, "q")
    publish(channel, "q", "a", "b")
    channel.basic_qos(prefetch_count=1)

    def fail(message):
        raise LookupError(message.payload)

    channel.basic_consume("q", callback=fail, consumer_tag="tag")
    with pytest.raises(LookupError, match="a"):
        connection.drain_events(timeout=LIMIT)

    assert count(channel, "q") == 1
    channel.basic_recover()
    channel.basic_cancel("tag")
    assert take_all(channel, "q") == ["a", "b"]


def test_a_body_that_a_consumer_does_not_accept_goes_to_its_handler(connection):
    channel = connection.channel()
    declare(channel, "q")
    publish(channel, "q", {"a": 1}, serializer="pickle")
    failed = []
    consumer = Consumer(channel, [Queue("q")], accept=["json"], on_message=None)
    consumer.on_decode_error = lambda message, error: (failed.append(error), message.reject())
    consumer.register_callback(print)

    with consumer:
        connection.drain_events(timeout=LIMIT)

    assert len(failed) == 1
    assert count(channel, "q") == 0


def test_ensure_tries_again_after_a_connection_error_with_a_channel_that_works(connection):
    producer = connection.Producer()
    declare(producer.channel, "q")
    tries = []

    def flaky():
        tries.append(producer.channel)
        if len(tries) == 1:
            raise errors.ConnectionError("away for a moment")
        producer.publish("a", routing_key="q")

    connection.ensure(producer, flaky, max_retries=3, interval_start=0)()

    assert tries[0].closed
    assert not tries[1].closed
    assert take_all(connection.channel(), "q") == ["a"]


def test_a_connection_reconnects_and_consumes_again(connection):
    declare(connection.channel(), "q")
    publish(connection.channel(), "q", "a")
    seen = []

    with connection.Consumer([Queue("q")], callbacks=[lambda body, message: (seen.append(body), message.ack())]) as one:
        connection.drain_events(timeout=LIMIT)
        connection.collect()
        connection.ensure_connection(max_retries=1)
        one.revive(connection.channel())
        one.consume()
        publish(connection.channel(), "q", "b")
        eventually(lambda: connection.drain_events(timeout=LIMIT) or len(seen) == 2)

    assert seen == ["a", "b"]


def test_an_open_connection_says_so_until_it_is_closed(url):
    connection = Connection(url)
    connection.connect()
    assert connection.connected

    connection.release()

    assert not connection.connected
