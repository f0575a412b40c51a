"""A store that lost all its data: each connection notices for itself, and declares its queues again."""

from __future__ import annotations

import contextlib

import pytest
from kombu import Exchange, Queue

from kombu_pool.transport.upkeep.control_epoch import ControlEpoch
from tests.support.celery.brokers import BROKERS
from tests.support.transport.traffic import count, declare, eventually, publish, take_all

QUEUE = Queue("q", Exchange("x"), routing_key="key")
RETRY = {"retry": True, "retry_policy": {"max_retries": 5, "interval_start": 0.01, "interval_step": 0.1}}


@pytest.fixture(params=BROKERS)
def broker(request, tmp_path):
    broker = BROKERS[request.param](tmp_path)
    yield broker
    broker.close()


@pytest.fixture
def url(broker):
    return broker.url


def drain_until_it_fails(connection):
    """Drain events until the connection fails with an error after which Kombu opens another one."""
    with pytest.raises(connection.recoverable_connection_errors):
        eventually(lambda: drain(connection))


def drain(connection):
    with contextlib.suppress(TimeoutError):
        connection.drain_events(timeout=0.05)


def send(producer, body, exchange, **options):
    key = "key" if exchange else "q"
    producer.publish(body, exchange=exchange, routing_key=key, declare=[QUEUE], **options)


@pytest.mark.parametrize("exchange", ["x", ""], ids=["exchange", "default"])
def test_a_producer_beside_a_consumer_declares_again_what_was_lost(connect, broker, exchange):
    consuming, producing = connect(), connect()
    channel = consuming.channel()
    QUEUE(channel).declare()
    channel.basic_consume("q", callback=lambda message: message.ack())
    producer = producing.Producer()
    send(producer, "before", exchange)

    broker.lose_data()
    drain_until_it_fails(consuming)
    send(producer, "after", exchange, **RETRY)

    assert count(connect().channel(), "q") == 1


@pytest.mark.parametrize("exchange", ["x", ""], ids=["exchange", "default"])
def test_every_producer_of_a_process_declares_again(connect, broker, exchange):
    producers = [connect().Producer() for _ in range(3)]
    for producer in producers:
        send(producer, "before", exchange)

    broker.lose_data()
    for producer in producers:
        send(producer, "after", exchange, **RETRY)

    assert count(connect().channel(), "q") == 3


def test_a_connection_that_opens_during_maintenance_lost_nothing(connect, monkeypatch):
    broker = connect().channel().connection.broker
    read = ControlEpoch._read

    def read_slowly(epoch):
        broker.maintenance.run_once()
        return read(epoch)

    monkeypatch.setattr(ControlEpoch, "_read", read_slowly)
    connection = connect()
    channel = connection.channel()

    assert channel.connection.broker is broker
    channel.basic_consume(QUEUE(channel).declare(), callback=lambda message: message.ack())
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.05)


def test_each_consumer_of_a_process_is_failed_once(connect, broker):
    connections = [connect() for _ in range(3)]
    for connection in connections:
        channel = connection.channel()
        QUEUE(channel).declare()
        channel.basic_consume("q", callback=lambda message: message.ack())

    broker.lose_data()

    for connection in connections:
        drain_until_it_fails(connection)


def test_a_queue_whose_record_was_lost_is_declared_again_with_its_messages(connect):
    channel = connect().channel()
    declare(channel, "q")
    publish(channel, "q", "a")
    channel.connection.broker.data.control.queue_controller.delete("q")

    other = connect(ack_delay=0.003).channel()
    assert other.queue_declare("q").message_count == 1
    assert take_all(other, "q") == ["a"]
