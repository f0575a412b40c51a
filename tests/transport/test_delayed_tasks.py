"""The delayed tasks of the consumed queues, which a worker names when it is asked for its schedule."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from celery import Celery
from celery.worker import control
from kombu import Connection, Producer
from kombu.asynchronous.timer import Timer

from kombu_pool.transport import gather
from kombu_pool.transport.consume import celery_schedule
from kombu_pool.transport.consume.delayed_tasks import MAX_TASKS, DelayedTasks
from tests.support.limits import LIMIT, best_of, seconds_of
from tests.support.servers.redis_server import Server
from tests.support.transport.traffic import consume, declare, eventually, publish, task_with_eta


def eta(seconds: float) -> str:
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()


def publish_tasks(channel, queue, due_in):
    for seconds in due_in:
        publish(channel, queue, seconds, headers=task_with_eta(eta(seconds)))


def found(connection):
    return [message.payload for message in connection.transport.delayed_tasks()]


@pytest.fixture
def long_timeout(monkeypatch):
    """Let a loaded machine answer late."""
    monkeypatch.setattr(DelayedTasks, "TIMEOUT", LIMIT)


def test_they_are_those_of_the_consumed_queues_and_the_first_one_due_is_first(channel, connection, long_timeout):
    declare(channel, "q", "other")
    publish_tasks(channel, "q", [3000, 1000, 2000])
    publish_tasks(channel, "other", [1500])
    publish(channel, "q", "due")
    consume(channel, "q")

    assert found(connection) == [1000, 2000, 3000]


def test_a_claimed_message_and_one_that_is_no_task_are_not_among_them(channel, connection, long_timeout):
    channel.connection.broker.data.queue_controller.create("q", {"_default_message_delay": 3000})
    declare(channel, "q")
    publish(channel, "q", "no task")
    publish_tasks(channel, "q", [4000])
    consume(channel, "q")

    assert found(connection) == [4000]


def test_they_stay_in_the_store(channel, connection, long_timeout):
    declare(channel, "q")
    publish_tasks(channel, "q", [1000])
    inbox = consume(channel, "q")

    assert found(connection) == found(connection) == [1000]
    inbox.expect_no_more()


def test_there_are_at_most_a_thousand(channel, connection, long_timeout):
    declare(channel, "q", "r")
    for queue in ("q", "r"):
        producer = Producer(channel)
        with gather(producer):
            for number in range(MAX_TASKS // 2 + 50):
                producer.publish(number, routing_key=queue, headers=task_with_eta(eta(1000 + number)))
        consume(channel, queue)

    assert len(found(connection)) == MAX_TASKS


@pytest.fixture
def pools():
    with Server() as steady, Server() as fragile:
        yield {"steady": steady, "fragile": fragile}


@pytest.fixture
def connection_to_both(tmp_path, pools):
    """A connection that consumes from a queue in each pool, with a delayed task in each."""
    options = {
        "pools": [{"name": name, "uri": server.uri(), "flavor": name} for name, server in pools.items()],
    }
    with Connection(f"pool+sqlite:///{tmp_path}/control.db", transport_options=options) as connection:
        channel = connection.channel()
        for number, name in enumerate(pools):
            declare(channel, name, arguments={"x-pool-flavor": name})
            publish_tasks(channel, name, [1000 + number])
            consume(channel, name)
        yield connection


def test_a_pool_that_hangs_keeps_no_other_from_answering_within_half_a_second(connection_to_both, pools):
    eventually(lambda: sorted(found(connection_to_both)) == [1000, 1001])
    pools["fragile"].pause()

    answers = []
    try:
        first = seconds_of(lambda: answers.append(found(connection_to_both)))
        later = best_of(lambda: seconds_of(lambda: found(connection_to_both)), 0.5)
    finally:
        pools["fragile"].resume()

    # A loaded machine may not answer in time.
    assert answers[0] in ([1000], [])
    # Its timeout is longer.
    assert first < 3
    assert later < 0.5
    eventually(lambda: sorted(found(connection_to_both)) == [1000, 1001])


def test_a_pool_that_is_down_keeps_no_other_from_answering(connection_to_both, pools):
    pools["fragile"].kill()

    eventually(lambda: found(connection_to_both) == [1000])


@pytest.mark.parametrize("unreadable", [{"expires": "never"}, {"expires": [1]}, {"task": ["name"]}])
def test_a_task_that_celery_cannot_read_hides_no_other_one(channel, connection, long_timeout, unreadable):
    declare(channel, "q")
    publish(channel, "q", "unreadable", headers={**task_with_eta(eta(900)), **unreadable})
    publish_tasks(channel, "q", [1000])
    consume(channel, "q")
    celery_schedule.install()
    app = Celery(set_as_current=False)
    consumer = SimpleNamespace(connection=connection, task_consumer=None, timer=Timer())

    named = control.Panel.data["scheduled"](SimpleNamespace(app=app, hostname="worker", consumer=consumer))

    assert [entry["request"]["type"] for entry in named] == [task_with_eta("")["task"]]
