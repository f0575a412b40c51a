"""A pool that refuses writes for a while: what Kombu publishes again meanwhile is stored once in every pool."""

from __future__ import annotations

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

from kombu_pool import errors
from kombu_pool.transport import gather
from tests.support.servers.redis_server import Server
from tests.support.transport.traffic import count, declare, take_all

#: The full pool has the queue ``fast``.
QUEUES = ("a", "fast", "z")


@pytest.fixture(scope="module")
def server():
    with Server(maxmemory_policy="noeviction") as server:
        yield server


class Fullness:
    """A Redis without free memory, which gets some when a publish has failed a few times."""

    def __init__(self, server):
        self._server = server
        self._failures_left = 0
        self.limit(0)

    def limit(self, size):
        self._server.ask("CONFIG SET", "maxmemory", size)

    def begin(self, failures):
        self._failures_left = failures
        self.limit(1)

    def on_failure(self, error, interval):
        assert isinstance(error, errors.StoreFull)
        self._failures_left -= 1
        if not self._failures_left:
            self.limit(0)


@pytest.fixture
def full(server):
    server.ask("FLUSHALL")
    full = Fullness(server)
    yield full
    full.limit(0)


@pytest.fixture
def options(server, tmp_path):
    pools = [
        {"name": "full", "uri": server.uri(), "flavor": "fast"},
        {"name": "other", "uri": f"sqlite:///{tmp_path}/other.db"},
    ]
    return {"pools": pools, "queue_flavors": {"fast": "fast"}}


@pytest.fixture
def url(tmp_path):
    return f"pool+sqlite:///{tmp_path}/control.db"


@pytest.fixture
def connection(opened, url, options):
    connection = opened(url, **options)
    channel = connection.channel()
    declare(channel, *QUEUES)
    for queue in QUEUES:
        channel.queue_bind(queue, "amq.fanout")
    return connection


def policy(full, **changes):
    return {"max_retries": 20, "interval_start": 0, "interval_step": 0, "errback": full.on_failure, **changes}


def publish_gathered(producer, policy):
    with gather(producer, policy):
        for body in "vwxyz":
            producer.publish(body, exchange="amq.fanout")


def test_a_fanout_is_stored_once_in_each_pool(connection, full):
    producer = connection.Producer()

    for body in "vwxyz":
        full.begin(failures=3)
        producer.publish(body, exchange="amq.fanout", retry=True, retry_policy=policy(full))

    channel = connection.channel()
    assert [take_all(channel, queue) for queue in QUEUES] == [list("vwxyz")] * 3


def test_so_are_the_messages_that_are_gathered(connection, full):
    producer = connection.Producer()

    full.begin(failures=3)
    publish_gathered(producer, policy(full))

    channel = connection.channel()
    assert [take_all(channel, queue) for queue in QUEUES] == [list("vwxyz")] * 3


def test_a_pool_that_stays_full_keeps_nothing_from_the_others(connection, full):
    producer = connection.Producer()

    full.limit(1)
    with pytest.raises(OperationalError, match="maxmemory"):
        publish_gathered(producer, None)
    full.limit(0)

    channel = connection.channel()
    assert [count(channel, queue) for queue in QUEUES] == [5, 0, 5]


def test_celery_sends_a_task_once_to_each_pool(connection, full, url, options):
    app = Celery(broker=url, broker_transport_options=options, set_as_current=False)
    app.conf.task_publish_retry_policy = {"max_retries": 20, "interval_start": 0.01, "interval_step": 0}
    attempts = iter(range(3))

    class Producer(app.amqp.Producer):
        def _publish(self, *arguments, **named):
            if next(attempts, None) is None:
                full.limit(0)
            return super()._publish(*arguments, **named)

    with app.connection_for_write() as sending:
        full.limit(1)
        app.send_task("t", exchange="amq.fanout", routing_key="t", producer=Producer(sending, auto_declare=False))

    channel = connection.channel()
    assert [count(channel, queue) for queue in QUEUES] == [1, 1, 1]
