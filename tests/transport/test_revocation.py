"""Tasks that wait are revoked where they wait, with and without a worker."""

from __future__ import annotations

from contextlib import closing

import pytest
from celery import Celery
from celery.result import AsyncResult
from celery.worker import state as worker_state

import kombu_pool
from kombu_pool.transport.publish.revocation import MARKER
from tests.support.transport.traffic import declare, publish, take_all


@pytest.fixture
def app(url, tmp_path):
    with closing(Celery(broker=url, backend=f"file://{tmp_path}", set_as_current=False)) as app:
        yield app


def messages(channel, queue):
    found = []
    while (message := channel.basic_get(queue, no_ack=True)) is not None:
        found.append(message)
    return found


def test_a_revoked_task_that_waits_is_replaced_by_a_marker(app, channel):
    for queue in ("now", "later"):
        declare(channel, queue)
    app.send_task("add", task_id="first", queue="now")
    app.send_task("add", task_id="second", queue="now")
    app.send_task("add", task_id="third", queue="later", countdown=3600)
    worker_state.revoked.clear()

    app.control.revoke("second")
    app.control.revoke(["third", "unknown"], terminate=True, destination=["other@host"])

    assert [(one.headers["id"], one.headers.get(MARKER)) for one in messages(channel, "now")] == [
        ("second", True),
        ("first", None),
    ]
    assert [(one.headers["id"], one.headers.get(MARKER)) for one in messages(channel, "later")] == [("third", True)]
    assert {*worker_state.revoked} == {"second", "third"}


def test_revoking_twice_leaves_one_marker(app, channel):
    declare(channel, "q")
    app.send_task("add", task_id="first", queue="q")
    app.control.revoke("first")
    app.control.revoke("first")

    assert len(messages(channel, "q")) == 1


def test_a_task_that_runs_is_left_to_the_broadcast(app, channel):
    declare(channel, "q")
    app.send_task("add", task_id="first", queue="q")
    message = channel.basic_get("q")
    app.control.revoke("first")

    assert messages(channel, "q") == []
    message.requeue()
    assert [one.headers.get(MARKER) for one in messages(channel, "q")] == [None]


def test_a_message_that_is_no_task_is_cancelled_without_a_marker(app, channel):
    declare(channel, "q")
    publish(channel, "q", "a", headers={"x-message-key": "first"})
    app.control.revoke("first")

    assert take_all(channel, "q") == []


def test_other_commands_cancel_nothing(app, channel):
    declare(channel, "q")
    app.send_task("revoke", task_id="revoke", queue="q")
    app.control.revoke_by_stamped_headers({"revoke": "revoke"})
    app.control.broadcast("rate_limit", arguments={"task_name": "revoke", "task_id": "revoke", "rate_limit": 1})

    assert len(messages(channel, "q")) == 1


def test_the_library_cancels_and_stores_the_state(app, channel):
    declare(channel, "q")
    app.send_task("add", task_id="first", queue="q", countdown=3600)
    app.send_task("add", task_id="second", queue="q")
    tasks = kombu_pool.tasks(app)

    assert [one["state"] for one in tasks.find("first").messages] == ["delayed"]
    assert [one["state"] for one in tasks.change("first", due=1).messages] == ["free"]
    assert [one["queue"] for one in tasks.cancel("first").messages] == ["q"]

    assert AsyncResult("first", app=app).state == "REVOKED"
    assert AsyncResult("second", app=app).state == "PENDING"
    assert [one.headers["id"] for one in messages(channel, "q")] == ["second"]
