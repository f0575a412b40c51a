"""A Redis that was emptied, or restarted without its data: the loss is noticed, and queues are declared again."""

from __future__ import annotations

import pytest
from kombu import Connection, Consumer, Exchange, Queue

from kombu_pool import drivers
from tests.support.servers.redis_server import Server
from tests.support.servers.redis_shared import fresh_uri, shared_server
from tests.support.transport.traffic import eventually

RETRY = {"max_retries": 5, "interval_start": 0.01, "interval_step": 0.1}


@pytest.fixture
def uri():
    return fresh_uri()


def empty(uri):
    client = shared_server().client(int(drivers.parse(uri).path.strip("/")))
    client.flushdb()
    client.close()


def bodies(url, queue):
    with Connection(url) as connection:
        found = []
        while (message := queue(connection.default_channel).get(no_ack=True)) is not None:
            found.append(message.payload)
        return found


@pytest.mark.parametrize("exchange", [Exchange("tasks", type="direct"), Exchange("")], ids=["direct", "default"])
def test_a_publish_declares_anew_what_an_emptied_store_lost(uri, exchange):
    url, queue = f"pool+{uri}", Queue("q", exchange, routing_key="q")
    with Connection(url) as connection:
        producer = connection.Producer()
        send = {"exchange": exchange, "routing_key": "q", "declare": [queue], "retry": True, "retry_policy": RETRY}
        producer.publish("before", **send)

        empty(uri)
        producer.publish("after", **send)

    assert bodies(url, queue) == ["after"]


def test_a_publish_that_is_not_to_be_repeated_fails(uri):
    queue = Queue("q", Exchange("e", type="direct"), routing_key="q")
    with Connection(f"pool+{uri}") as connection:
        producer = connection.Producer()
        producer.publish("before", exchange=queue.exchange, routing_key="q", declare=[queue])

        empty(uri)

        with pytest.raises(connection.recoverable_connection_errors, match="lost all that it held"):
            producer.publish("after", exchange=queue.exchange, routing_key="q", declare=[queue])


def test_a_publish_to_a_queue_that_another_process_deleted_goes_nowhere_as_ever(uri):
    with Connection(f"pool+{uri}") as connection:
        channel = connection.default_channel
        Queue("q")(channel).declare()
        Queue("q")(channel).delete()

        connection.Producer().publish("a", routing_key="q")


def drained(connection):
    """Drain events once; return whether there were any."""
    try:
        connection.drain_events(timeout=0.05)
    except TimeoutError:
        return False
    return True


def test_a_consumer_learns_that_its_queue_has_to_be_declared_anew(uri, monkeypatch):
    monkeypatch.setattr("kombu_pool.drivers.redis.control.consumers.ConsumersController.poll_interval", 0.1)
    queue = Queue("q", Exchange("e", type="direct"), routing_key="q")
    with Connection(f"pool+{uri}") as connection, Consumer(connection, [queue]):
        assert not drained(connection)

        empty(uri)

        with pytest.raises(connection.connection_errors, match="lost all that it held"):
            eventually(lambda: drained(connection))


def test_a_pool_that_was_emptied_has_its_queues_again_with_the_next_post(uri, tmp_path):
    url, queue = f"pool+sqlite:///{tmp_path}/control.db", Queue("q")
    options = {"pools": [{"name": "fast", "uri": uri}]}
    with Connection(url, transport_options=options) as connection:
        channel = connection.default_channel
        queue(channel).declare()
        connection.Producer().publish("before", routing_key="q")

        empty(uri)
        connection.Producer().publish("after", routing_key="q")

        assert queue(channel).get().payload == "after"


def test_a_redis_that_forgets_over_a_restart_is_declared_to_anew():
    queue = Queue("q", Exchange("e", type="direct"), routing_key="q")
    with Server() as server, Connection(f"pool+{server.uri()}") as connection:
        producer = connection.Producer()
        send = {"exchange": queue.exchange, "routing_key": "q", "declare": [queue]}
        producer.publish("before", **send)

        server.kill()
        server.restart()
        producer.publish("after", **send, retry=True, retry_policy=RETRY)

        assert queue(connection.default_channel).get().payload == "after"
