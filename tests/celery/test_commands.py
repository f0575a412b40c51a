"""Celery's commands, run as on the command line."""

from __future__ import annotations

import json
import os
import re
from contextlib import closing

import pytest


@pytest.fixture(scope="module")
def worker(shared_site):
    """One worker for all tests of this module."""
    worker = shared_site.lone_worker("--pool=solo", "--task-events")
    yield worker
    worker.stop()


@pytest.fixture
def amqp(site):
    """Return a function that enters lines into ``celery amqp`` and returns its output."""

    def amqp(*lines: str) -> list[str]:
        printed = site.run("amqp", "repl", typed="".join(f"{line}\n" for line in lines))
        return [line for line in printed.splitlines() if not line.startswith("-> connect")]

    return amqp


def test_status_names_the_workers(shared_site, worker):
    printed = shared_site.run("status", "--timeout=60", "--destination", worker.name)

    assert re.search(rf"{worker.name}: .*OK", printed)
    assert "1 node online" in printed


def test_inspect_ping_is_answered(shared_site, worker):
    printed = shared_site.run("inspect", "ping", "--json", "--timeout=60", "--destination", worker.name)

    assert json.loads(printed) == {worker.name: {"ok": "pong"}}


def test_report_names_the_transport(site):
    printed = site.run("report")

    assert re.search(r"transport:pool.*", printed)
    assert "kombu-pool" in printed


def test_control_shuts_a_worker_down(site):
    worker = site.lone_worker("--pool=solo")

    # A stopping worker does not reply.
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
    dump.wait_for_log("heartbeat")

    result = shared_site.send("add", 2, 3)

    for event in ("task received", "task started", "task succeeded"):
        dump.wait_for_log(f"{event}: add({result.id})")
    assert worker.name in dump.log


def test_bindings_are_listed(site):
    site.send("add", 1, 1)

    assert re.search(r"celery\s+celery\s+celery", site.run("list", "bindings"))


@pytest.fixture
def other(make_broker, tmp_path):
    """Another broker."""
    folder = tmp_path / "other"
    folder.mkdir()
    with closing(make_broker(folder)) as broker:
        yield broker.url


def test_tasks_are_migrated_to_another_broker(site, other):
    for number in range(3):
        site.send("add", number, number)

    site.run("migrate", site.broker, other, "--timeout", "5", "--ack-messages")

    assert site.counts() == (0, 0)
    assert site.counts(broker=other) == (3, 0)


def test_the_shell_sees_what_another_one_declared(amqp, site):
    assert amqp("exchange.declare ex1 direct", "queue.declare q1", "queue.bind q1 ex1 key") == [
        "OK",
        "queue:q1 messages:0 consumers:0",
        "OK",
        "OK",
    ]

    assert amqp("basic.publish hello ex1 key") == ["OK"]
    assert site.counts("q1") == (1, 0)
    assert "{'body': 'hello'," in amqp("basic.get q1")


def test_the_shell_counts_what_it_deletes(amqp, site):
    printed = amqp(
        "queue.declare q1",
        *(f'basic.publish {text} "" q1' for text in "abc"),
        "queue.declare q1 true",
        "queue.purge q1",
        'basic.publish d "" q1',
        "queue.delete q1",
        "exchange.declare ex1 fanout",
        "exchange.delete ex1 false",
    )

    assert [line for line in printed if line != "OK"] == [
        "queue:q1 messages:0 consumers:0",
        "queue:q1 messages:3 consumers:0",
        "3 messages deleted.",
        "1 messages deleted.",
    ]
    assert "q1" not in site.queues()


def test_the_shell_acknowledges_by_numbers_and_gives_the_rest_back(amqp, site):
    amqp("queue.declare q1", *(f'basic.publish {text} "" q1' for text in "abc"))

    amqp("basic.get q1", "basic.get q1", "basic.ack 2")

    assert site.counts("q1") == (2, 0)
    assert "{'body': 'a'," in amqp("basic.get q1")


def test_the_shell_says_that_a_queue_does_not_exist(amqp):
    assert any("NOT_FOUND - no queue 'absent' here" in line for line in amqp("queue.purge absent", "queue.declare q1"))
