"""Celery's commands, as an operator types them."""

from __future__ import annotations

import json
import os
import re

import pytest

pytestmark = pytest.mark.xdist_group("commands")


@pytest.fixture(scope="module")
def worker(shared_site):
    """One worker for all tests that need one."""
    worker = shared_site.lone_worker("--pool=solo", "--task-events")
    yield worker
    worker.stop()


@pytest.fixture
def amqp(site):
    """Run one line of ``celery amqp`` and return its answer; each is a process, and a connection, of its own."""

    def amqp(*line: str) -> str:
        printed = site.run("amqp", *line).splitlines()
        return "\n".join(text for text in printed if not text.startswith("-> connect"))

    return amqp


def test_status_names_the_workers(shared_site, worker):
    printed = shared_site.run("status", "--destination", worker.name)

    assert re.search(rf"{worker.name}: .*OK", printed)
    assert "1 node online" in printed


def test_inspect_ping_is_answered(shared_site, worker):
    printed = shared_site.run("inspect", "ping", "--json", "--destination", worker.name)

    assert json.loads(printed) == {worker.name: {"ok": "pong"}}


def test_report_names_the_transport(site):
    printed = site.run("report")

    assert re.search(r"transport:pool.*", printed)
    assert "kombu-pool" in printed


def test_control_shuts_a_worker_down(site):
    worker = site.lone_worker("--pool=solo")

    # A worker that stops does not answer.
    site.run("control", "shutdown", "--timeout", "0.1", code=os.EX_UNAVAILABLE)

    assert worker.wait() == 0


def test_purge_says_how_many_tasks_it_deleted(site):
    for number in range(7):
        site.send("add", number, number, countdown=60 if number == 6 else 0)

    assert "Purged 7 messages from 1 known task queue" in site.run("purge", "-f")
    assert site.counts() == (0, 0)
    assert "No messages purged" in site.run("purge", "-f")


def test_purge_of_queues_that_do_not_exist_is_no_error(site):
    assert "No messages purged" in site.run("purge", "-f", "-Q", "never-declared")


def test_call_sends_a_task(shared_site, worker):
    task_id = shared_site.run("call", "add", "--args=[2, 3]").strip()

    assert shared_site.answer(shared_site.app.AsyncResult(task_id)) == 5


def test_events_are_dumped(shared_site, worker):
    dump = shared_site.start("events", "--dump")
    dump.says("heartbeat")

    result = shared_site.send("add", 2, 3)

    for event in ("task received", "task started", "task succeeded"):
        dump.says(f"{event}: add({result.id})")
    assert worker.name in dump.log


def test_bindings_are_listed(site):
    site.send("add", 1, 1)

    assert re.search(r"celery\s+celery\s+celery", site.run("list", "bindings"))


def test_tasks_are_migrated_to_another_broker(site, make_broker, tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    other = make_broker(folder).url
    for number in range(3):
        site.send("add", number, number)

    site.run("migrate", site.broker, other, "--timeout", "1", "--ack-messages")

    assert site.counts() == (0, 0)
    assert site.counts(broker=other) == (3, 0)


def test_the_shell_declares_an_exchange_and_binds_a_queue_to_it(amqp, site):
    assert amqp("exchange.declare", "ex1", "direct") == "OK"
    assert "queue:q1 messages:0 consumers:0" in amqp("queue.declare", "q1")
    assert amqp("queue.bind", "q1", "ex1", "key") == "OK"

    assert amqp("basic.publish", "hello", "ex1", "key") == "OK"

    assert site.counts("q1") == (1, 0)
    assert "hello" in amqp("basic.get", "q1")


def test_the_shell_says_how_many_messages_it_deletes(amqp, site):
    amqp("queue.declare", "q1")
    for text in ("a", "b", "c"):
        amqp("basic.publish", text, "", "q1")

    assert "queue:q1 messages:3 consumers:0" in amqp("queue.declare", "q1", "true")
    assert "3 messages deleted" in amqp("queue.purge", "q1")
    amqp("basic.publish", "d", "", "q1")
    assert "1 messages deleted" in amqp("queue.delete", "q1")
    assert "q1" not in site.queues()


def test_the_shell_gives_back_what_it_got_and_did_not_acknowledge(amqp, site):
    amqp("queue.declare", "q1")
    amqp("basic.publish", "again", "", "q1")

    assert "again" in amqp("basic.get", "q1")
    assert "again" in amqp("basic.get", "q1")
    assert site.counts("q1") == (1, 0)


def test_the_shell_says_that_a_queue_does_not_exist(amqp):
    assert "NOT_FOUND - no queue 'absent' here" in amqp("queue.purge", "absent")
