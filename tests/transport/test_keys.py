"""The key by which a message is found: the id of a task, or what its producer gives it."""

from __future__ import annotations

import uuid
from contextlib import closing

import pytest
from celery import Celery, group
from kombu import Exchange, Producer, Queue

import kombu_pool
from kombu_pool.errors import InvalidMessage
from tests.support.celery.closing_pools import closing_pools
from tests.support.transport.traffic import declare, eventually, publish, take_all

TASK = {"task": "add", "id": "the-id"}


def find(url, key):
    with closing(kombu_pool.open(url.removeprefix("pool+"))) as driver:
        return [message["queue"] for message in driver.message_controller.find(key).messages]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"headers": TASK}, "the-id"),
        ({"headers": TASK, "correlation_id": "other", "reply_to": "r"}, "the-id"),
        ({"headers": {"x-message-key": "order-42"}}, "order-42"),
        ({"correlation_id": "request", "reply_to": "r"}, "request"),
        ({"headers": {"x-message-key": "given"}, "correlation_id": "request", "reply_to": "r"}, "given"),
    ],
)
def test_a_message_is_found_by_its_key(channel, url, options, key):
    declare(channel, "q")

    publish(channel, "q", "a", **options)

    assert find(url, key) == ["q"]
    assert take_all(channel, "q") == ["a"]
    eventually(lambda: find(url, key) == [])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"headers": {"id": "no-task"}},
        {"correlation_id": "answer"},
        {"headers": {"task": "add", "id": "x" * 300}},
        {"headers": {"task": "add", "id": None}},
        {"headers": {"task": "add", "id": 5}},
        {"correlation_id": "x" * 300, "reply_to": "r"},
    ],
)
def test_any_other_message_has_none_and_is_published(channel, url, options):
    declare(channel, "q")

    publish(channel, "q", "a", **options)

    assert find(url, "no-task") == find(url, "answer") == []
    assert take_all(channel, "q") == ["a"]


@pytest.mark.parametrize("key", ["x" * 256, 7, b"k"])
def test_a_header_that_is_no_key_is_refused(channel, key):
    declare(channel, "q")

    with pytest.raises(InvalidMessage, match="key"):
        publish(channel, "q", "a", headers={"x-message-key": key})

    assert take_all(channel, "q") == []


@pytest.mark.parametrize("protocol", [1, 2])
def test_a_task_is_found_by_its_id_at_its_eta_too(url, protocol):
    app = Celery(broker=url, set_as_current=False)
    app.conf.task_protocol = protocol
    task_id = str(uuid.uuid4())

    with closing_pools(app):
        app.send_task("add", task_id=task_id, queue="now")
        app.send_task("add", task_id=task_id, queue="later", countdown=3600)

        assert sorted(find(url, task_id)) == ["later", "now"]


def test_the_tasks_of_a_group_have_their_keys(url):
    app = Celery(broker=url, set_as_current=False)

    @app.task(shared=False)
    def add(number):
        return number

    with closing_pools(app):
        ids = [task.id for task in group(add.s(number) for number in range(3)).apply_async(queue="q")]

        assert [find(url, task_id) for task_id in ids] == [["q"]] * 3


def test_a_message_in_several_queues_is_found_in_each(channel, url):
    exchange = Exchange("e", "fanout")
    for name in ("a", "b"):
        Queue(name, exchange)(channel).declare()

    Producer(channel, exchange).publish("a", headers=TASK)

    assert sorted(find(url, "the-id")) == ["a", "b"]
