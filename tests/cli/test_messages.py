"""``celery pool peek`` and ``celery pool purge``, called as on the command line."""

from __future__ import annotations

import time

import pytest
from kombu import Queue

from kombu_pool.pooling.controllers.messages import MessageController
from tests.cli.conftest import STORES

LATER = "2100-01-01T00:00:00+00:00"


def send(app, name, *arguments, queue="orders", **options):
    app.conf.task_queues = [Queue(queue)]
    return app.send_task(name, arguments, queue=queue, **options).id


@pytest.fixture
def filled(stored):
    """Four tasks of two names, of which two are delayed, and one claimed message before them."""
    with stored.connection_for_write() as connection:
        Queue("orders")(connection.default_channel).declare()
        connection.Producer().publish({}, routing_key="orders")
        claimed = connection.default_channel.basic_get("orders")
        for name in ("pay", "mail"):
            send(stored, name, "s3cret")
            send(stored, name, "s3cret", countdown=1000)
        yield stored
        claimed.ack()


def counts(ask):
    (row,) = ask("queues", "orders")["queues"]
    return row["ready"], row["delayed"], row["claimed"]


def test_messages_are_shown_without_their_bodies(filled, ask, pool):
    before = counts(ask)
    found = ask("peek", "orders")["messages"]
    text = str(pool("peek", "orders"))

    assert [view["task"] for view in found] == ["pay", "mail"]
    assert all(view["body"] is None and view["size"] > 0 and view["state"] == "ready" for view in found)
    assert "s3cret" not in text
    assert counts(ask) == before == (2, 2, 1)


def test_bodies_are_shown_if_they_are_asked_for(filled, ask, pool):
    (view,) = ask("peek", "orders", "--bodies", "--limit", "1")["messages"]

    assert view["body"] == "pay ('s3cret',) {}"
    assert "s3cret" in str(pool("peek", "orders", "--bodies"))


def test_delayed_messages_are_shown_with_the_time_at_which_they_are_due(filled, ask):
    found = ask("peek", "orders", "--delayed", "--task", "mail")["messages"]

    assert [(view["task"], view["state"]) for view in found] == [("mail", "delayed")]
    assert 900 < found[0]["due"] - time.time() <= 1001


def test_what_is_no_text_is_shown_as_what_it_is(app, ask, pool):
    with app.connection_for_write() as connection:
        Queue("orders")(connection.default_channel).declare()
        producer = connection.Producer()
        for body in (b"\xff\x00\x1b[31m", b""):
            producer.publish(
                body, routing_key="orders", content_type="application/x-thing", content_encoding="binary",
                headers={"task": 7, "id": ["odd"]},
            )  # fmt: skip

    first, second = ask("peek", "orders", "--bodies")["messages"]

    assert (first["task"], first["task_id"], first["size"], second["size"]) == ("7", "['odd']", 7, 0)
    assert "\x1b" not in str(pool("peek", "orders", "--bodies"))
    assert "\x1b" not in first["body"]


def test_an_empty_queue_is_said_to_be_empty(app, pool):
    with app.connection_for_write() as connection:
        Queue("orders")(connection.default_channel).declare()

    assert pool("peek", "orders") == (0, [["orders has no ready message."]])
    assert pool("peek", "orders", "--delayed") == (0, [["orders has no delayed message."]])
    assert pool("peek", "orders", "--dead") == (0, [["orders has no such message."]])


def test_a_queue_is_purged_of_all_that_waits(filled, pool, ask):
    assert pool("purge", "orders")[0] == 1  # nothing answers the question
    assert counts(ask) == (2, 2, 1)

    assert pool("purge", "orders", "-y") == (0, [["Deleted 4 messages from orders."]])
    assert counts(ask) == (0, 0, 1)


def test_a_purge_may_keep_what_is_delayed(filled, ask):
    assert ask("purge", "orders", "--keep-delayed", "-y")["deleted"] == 2
    assert counts(ask) == (0, 2, 1)


def test_a_purge_may_be_of_one_task(filled, ask):
    assert ask("purge", "orders", "--task", "mail", "-y")["deleted"] == 2
    assert counts(ask) == (1, 1, 1)
    assert ask("purge", "orders", "--task", "pay", "--keep-delayed", "-y")["deleted"] == 1
    assert counts(ask) == (0, 1, 1)


def test_a_question_names_what_would_be_deleted(filled, pool):
    assert "Delete 2 ready and 2 delayed messages from orders?" in str(pool("purge", "orders"))
    assert "Delete the tasks pay from orders?" in str(pool("purge", "orders", "--task", "pay"))


def test_more_messages_than_one_page_are_purged(app, ask):
    with app.connection_for_write() as connection:
        Queue("orders")(connection.default_channel).declare()
        producer = connection.Producer()
        for number in range(250):
            producer.publish({}, routing_key="orders", headers={"task": "odd" if number % 2 else "even", "id": "1"})

    assert ask("purge", "orders", "--task", "odd", "-y")["deleted"] == 125
    assert ask("purge", "orders", "--keep-delayed", "-y")["deleted"] == 125


def test_a_count_that_is_a_lower_bound_bounds_no_purge(app, ask, tmp_path, monkeypatch):
    monkeypatch.setattr("kombu_pool.drivers.mongodb.inspection._MAX_READ", 1)
    app.conf.broker_url = STORES["mongodb"](tmp_path)
    for name in ("pay", "mail", "pay", "mail"):
        send(app, name, countdown=1000)

    assert ask("purge", "orders", "--task", "mail", "-y")["deleted"] == 2
    assert [view["task"] for view in ask("peek", "orders", "--delayed")["messages"]] == ["pay", "pay"]


def test_delayed_messages_are_read_once_to_be_purged(app, ask, monkeypatch):
    for _ in range(3):
        send(app, "mail", countdown=1000)
    calls, bulk_get = [], MessageController.bulk_get
    monkeypatch.setattr(MessageController, "bulk_get", lambda *given: calls.append(given) or bulk_get(*given))

    assert ask("purge", "orders", "--task", "mail", "-y")["deleted"] == 3
    assert len(calls) == 1
