"""Kombu's ways to reconnect: mixins, ``autoretry``, ``ensure``, pools of connections, failover URLs."""

from __future__ import annotations

import pytest
from kombu import Connection, Queue
from kombu.exceptions import OperationalError
from kombu.mixins import ConsumerMixin
from kombu.pools import producers
from kombu.pools import reset as reset_pools

from kombu_pool import errors
from kombu_pool.transport.consume.scheduler import Scheduler
from tests.support.limits import best_of, seconds_of
from tests.support.servers.redis_server import Server
from tests.support.transport.pool_outages import Outages
from tests.support.transport.traffic import count, declare, take_all

#: Kombu's retry policy of these tests.
RETRY = {"max_retries": 20, "interval_start": 0.01, "interval_step": 0.01, "interval_max": 0.05}


@pytest.fixture
def pool(store, tmp_path, monkeypatch):
    """A pool that can be switched off and on."""
    pools = {"only": store.uri(tmp_path)}
    return Outages(monkeypatch, pools)


@pytest.fixture
def connection(connect, pool):
    """A connection whose queues are in the pool; the queue q exists."""
    connection = connect(pools=[{"name": "only", "uri": pool.uri("only"), "weight": 100}])
    declare(connection.channel(), "q")
    return connection


def switch_on_at_an_error(pool):
    def errback(error, interval):
        if pool.is_down(pool.uri("only")):
            pool.switch_on("only")

    return errback


class Interrupted(ConsumerMixin):
    """Switches its store off after a delivery, on again after the error, and publishes another message."""

    def __init__(self, connection, pool):
        self.connection = connection
        self.pool = pool
        self.connected = 0
        self.seen = []

    def get_consumers(self, Consumer, channel):  # noqa: N803 - Kombu's name
        return [Consumer([Queue("q")], callbacks=[self.take])]

    def on_consume_ready(self, connection, channel, consumers, **_):
        self.connected += 1
        if self.connected == 2:
            connection.Producer().publish("b", routing_key="q")

    def take(self, body, message):
        self.seen.append(body)
        message.ack()
        self.should_stop = self.connected == 2

    def on_iteration(self):
        if self.seen and self.connected == 1:
            self.pool.switch_off("only")

    def on_connection_revived(self):
        if self.pool.is_down(self.pool.uri("only")):
            self.pool.switch_on("only")


def test_a_mixin_connects_again_and_goes_on(connection, pool, monkeypatch):
    # A store that is switched off sends no wake-up, unlike one that breaks.
    monkeypatch.setattr(Scheduler, "MAX_WAIT", 0.5)
    connection.Producer().publish("a", routing_key="q")
    worker = Interrupted(connection, pool)

    worker.run()

    # An acknowledgement in flight may be lost with the connection.
    assert [body for body in worker.seen if body == "a"] in (["a"], ["a", "a"])
    assert worker.seen[-1] == "b"
    assert worker.connected == 2


def test_autoretry_hands_the_function_a_channel_that_works(connection, pool):
    pool.switch_off("only")
    channels = []

    def publish(body, channel):
        channels.append(channel)
        connection.Producer(channel).publish(body, routing_key="q")
        return body

    retried = connection.autoretry(publish, connection.channel(), errback=switch_on_at_an_error(pool), **RETRY)
    returned, last = retried("a")

    assert (returned, last) == ("a", channels[-1])
    assert channels[0].closed
    assert not last.closed
    assert take_all(last, "q") == ["a"]


def test_autoretry_opens_a_channel_if_it_gets_none(connection):
    _, channel = connection.autoretry(lambda channel: declare(channel, "s"))()

    assert count(channel, "s") == 0


def test_ensure_ends_with_kombus_error_and_the_cause_in_it(connection, pool):
    pool.switch_off("only", "unplugged")
    producer, heard = connection.Producer(), []

    def publish():
        producer.publish("a", routing_key="q")

    ensured = connection.ensure(
        producer, publish, errback=lambda error, interval: heard.append(error), **{**RETRY, "max_retries": 2}
    )
    with pytest.raises(OperationalError, match="unplugged"):
        ensured()

    assert all(isinstance(error, errors.PoolUnavailable) for error in heard)
    assert len(heard) == 2


def test_a_pool_of_connections_gives_out_no_more_than_it_may_and_replaces_one_that_failed(connection):
    pool = connection.Pool(limit=1)
    with pool.acquire(block=True) as only:
        with pytest.raises(pool.LimitExceeded):
            pool.acquire(block=False)
        failed = only.connection
        only.collect()

    with pool.acquire(block=True) as again:
        again.Producer().publish("a", routing_key="q")
        replaced = again.connection
    pool.force_close_all()

    assert replaced is not failed
    assert take_all(connection.channel(), "q") == ["a"]


def test_a_producer_of_a_pool_whose_connection_failed_publishes_over_a_new_one(connection):
    pool = producers[connection]
    try:
        with pool.acquire(block=True) as producer:
            producer.publish("a", routing_key="q")
            producer.connection.collect()
        with pool.acquire(block=True) as producer:
            producer.publish("b", routing_key="q", retry=True, retry_policy=RETRY)
    finally:
        reset_pools()

    assert take_all(connection.channel(), "q") == ["a", "b"]


def test_heartbeats_may_be_asked_for_though_none_are_needed(url):
    with Connection(url, heartbeat=2) as connection:
        connection.connect()
        connection.heartbeat_check(rate=2)

        assert not connection.supports_heartbeats
        assert connection.get_heartbeat_interval() == 0
        assert connection.channel().queue_declare("q").queue == "q"


# Failover URLs: real servers, one of which dies.


@pytest.fixture
def servers():
    with Server() as first, Server() as second:
        yield first, second


@pytest.fixture
def urls(servers):
    return [f"pool+{server.uri()}?socket_timeout=10&socket_connect_timeout=10" for server in servers]


class Consuming(ConsumerMixin):
    """Consumes from q, and calls a function for each message."""

    def __init__(self, connection, heard):
        self.connection = connection
        self.heard = heard

    def get_consumers(self, Consumer, channel):  # noqa: N803 - Kombu's name
        return [Consumer([Queue("q", durable=True)], callbacks=[self.take])]

    def take(self, body, message):
        message.ack()
        self.should_stop = self.heard(body)


@pytest.mark.parametrize("strategy", ["round-robin", "shuffle", lambda urls: iter(urls * 3)])
def test_a_consumer_goes_on_with_the_alternate_of_a_server_that_died(servers, urls, strategy):
    seen = []
    for url in urls:
        with Connection(url) as connection:
            declare(connection.channel(), "q")
            connection.Producer().publish(url, routing_key="q")

    def heard(body):
        seen.append(body)
        servers[0].kill()
        return len(seen) == 2

    with Connection(urls, failover_strategy=strategy) as connection:
        Consuming(connection, heard).run()

    assert seen == urls


def test_a_publish_that_is_tried_again_goes_to_the_alternate(servers, urls):
    with Connection(urls[1]) as connection:
        declare(connection.channel(), "q")
    servers[0].kill()

    with Connection(";".join(urls)) as connection:
        connection.ensure_connection(**RETRY)
        connection.Producer().publish("a", routing_key="q", retry=True, retry_policy=RETRY)

        assert take_all(connection.channel(), "q") == ["a"]
        assert str(servers[1].port) in connection.as_uri()


def test_ensure_connection_tells_of_each_try_and_ends_in_time(servers, urls):
    for server in servers:
        server.kill()
    heard = []

    def connect():
        with pytest.raises(OperationalError):
            Connection(urls).ensure_connection(
                lambda error, interval: heard.append(error), timeout=0.5, interval_start=0.1
            )

    assert best_of(lambda: seconds_of(connect), 5) < 5
    assert {str(server.port) in str(error) for server, error in zip(servers, heard, strict=False)} == {True}
