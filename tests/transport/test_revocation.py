"""Tasks that wait are revoked where they wait, with and without a worker."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from celery import Celery
from celery.result import AsyncResult
from celery.worker import state as worker_state
from kombu import Queue

import kombu_pool
from kombu_pool.transport import gather
from kombu_pool.transport.publish.revocation import MARKER
from tests.support.celery.closing_pools import closing_pools
from tests.support.transport.traffic import count, declare, eventually, publish, take_all


@pytest.fixture
def app(url, tmp_path):
    with closing_pools(Celery(broker=url, backend=f"file://{tmp_path}", set_as_current=False)) as app:
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


def test_a_dead_letter_is_not_revoked(app, channel):
    declare(channel, "dead")
    to_dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    app.send_task("add", task_id="first", queue=Queue("q", queue_arguments=to_dead))
    channel.basic_get("q").reject()
    eventually(lambda: count(channel, "dead"))

    app.control.revoke("first")

    (dead,) = messages(channel, "dead")
    assert (dead.headers["id"], dead.headers["x-death"][0]["reason"]) == ("first", "rejected")
    assert MARKER not in dead.headers


def test_a_marker_expires_when_its_task_would_have(app, channel):
    declare(channel, "q")
    app.send_task("add", task_id="first", queue="q", expires=600)
    app.send_task("add", task_id="second", queue="q")
    app.control.revoke(["first", "second"])

    controller = channel.connection.broker.data.message_controller
    ttls = {one["body"]["headers"]["id"]: one["ttl"] for one in next(controller.list("q"))}
    assert 500 < ttls["first"] <= 600
    assert ttls["second"] == 0


def test_a_command_in_a_buffer_is_sent_at_once(app, channel):
    declare(channel, "q")
    channel.exchange_declare("celery.pidbox", "fanout")
    command = {"method": "revoke", "arguments": {"task_id": "first"}}
    with app.connection_for_write() as connection:
        producer = connection.Producer()
        with gather(producer):
            app.send_task("add", task_id="first", queue="q", producer=producer)
            producer.publish(command, exchange="celery.pidbox", serializer="json")

            assert [one.headers.get(MARKER) for one in messages(channel, "q")] == [True]


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


def test_a_result_that_cannot_be_stored_keeps_no_other_task_from_being_revoked(app, channel, monkeypatch, caplog):
    declare(channel, "q", "r")
    for queue in ("q", "r"):
        app.send_task("add", task_id="first", queue=queue)
    genuine, refused = app.backend.mark_as_revoked, []

    def mark_as_revoked(task_id, *arguments, **options):
        if not refused:
            refused.append(task_id)
            raise OSError("disk full")
        genuine(task_id, *arguments, **options)

    monkeypatch.setattr(app.backend, "mark_as_revoked", mark_as_revoked)
    result = kombu_pool.tasks(app).cancel("first")

    assert sorted(one["queue"] for one in result.messages) == ["q", "r"]
    assert AsyncResult("first", app=app).state == "REVOKED"
    assert "The result of task first, which is cancelled, stays as it is: disk full" in caplog.text


def test_many_revoked_tasks_share_one_event_dispatcher(app, channel, monkeypatch):
    declare(channel, "q")
    for number in range(3):
        app.send_task("add", task_id=str(number), queue="q")
    tasks = kombu_pool.tasks(app)
    waiting = [one for number in range(3) for one in tasks.find(str(number)).messages]
    opened, sent = [], []

    @contextmanager
    def default_dispatcher():
        opened.append(1)
        yield SimpleNamespace(send=lambda kind, uuid, **fields: sent.append((kind, uuid)))

    monkeypatch.setattr(app.events, "default_dispatcher", default_dispatcher)

    assert tasks.revoke(waiting) == {}
    assert (len(opened), sent) == (1, [("task-revoked", str(number)) for number in range(3)])


def test_a_task_of_protocol_1_is_cancelled_and_its_result_stays(app, channel):
    declare(channel, "q")
    publish(channel, "q", {"task": "add", "id": "first", "args": []}, headers={"x-message-key": "first"})

    assert len(kombu_pool.tasks(app).cancel("first").messages) == 1
    assert AsyncResult("first", app=app).state == "PENDING"
