"""``celery pool tasks``, ``cancel``, ``reschedule`` and ``now``, called as on the command line."""

from __future__ import annotations

import json
import shutil
import time

import pytest
from celery.exceptions import TaskRevokedError
from kombu import Queue

from tests.support.limits import LIMIT
from tests.support.transport.traffic import declare


def send(app, name, task_id, queue="orders", **options):
    app.conf.task_queues = [Queue("orders"), Queue("mails")]
    app.send_task(name, (), task_id=task_id, queue=queue, **options)


def receive(channel, queue="orders"):
    message = channel.basic_get(queue)
    return None if message is None else message.headers["id"]


@pytest.fixture
def filled(stored):
    send(stored, "pay", "pay-1")
    send(stored, "pay", "pay-2")
    send(stored, "pay", "pay-3", countdown=1000)
    send(stored, "mail", "mail-1", queue="mails", countdown=500)
    return stored


@pytest.fixture
def refused(pool):
    """Call a command that exits with 1; returns its JSON."""

    def call(*arguments):
        status, lines = pool(*arguments, "--json")
        assert status == 1
        return json.loads("\n".join("\t".join(line) for line in lines))

    return call


def test_tasks_are_counted_by_name(filled, ask, pool):
    first, second = ask("tasks")["tasks"]

    assert (first["task"], first["queue"], first["ready"], first["delayed"]) == ("mail", "mails", 0, 1)
    assert (second["task"], second["queue"], second["ready"], second["delayed"]) == ("pay", "orders", 2, 1)
    assert 0 < first["next_due"] - time.time() <= 501
    assert pool("tasks")[1][0] == ["TASK", "QUEUE", "READY", "DELAYED", "OLDEST", "NEXT DUE"]


def test_tasks_are_listed_by_name_state_and_age(filled, ask, pool):
    def ids(*arguments):
        return [row["id"] for row in ask("tasks", *arguments)["tasks"]]

    assert ids("pay") == ["pay-1", "pay-2", "pay-3"]
    assert ids("p*", "--state", "ready") == ["pay-1", "pay-2"]
    assert ids("*", "--state", "delayed") == ["mail-1", "pay-3"]
    assert ids("*", "--queue", "mails") == ["mail-1"]
    assert ids("pay", "--limit", "1") == ["pay-1"]
    assert ids("pay", "--older-than", "1h") == []
    assert pool("tasks", "nothing") == (0, [["No such task waits."]])


def test_a_task_is_found_by_its_id_in_any_state(filled, ask, refused):
    with filled.connection_for_write() as connection:
        assert receive(connection.default_channel) == "pay-1"
        found = ask("tasks", "--id", "pay-1", "--id", "pay-3")["found"]

        assert [(row["id"], row["state"]) for row in found] == [("pay-1", "claimed"), ("pay-3", "delayed")]
    assert refused("tasks", "--id", "pay-9")["missing"] == ["pay-9"]


def test_a_task_that_waits_is_cancelled(filled, ask, pool):
    assert [row["id"] for row in ask("cancel", "pay-1", "mail-1")["cancelled"]] == ["pay-1", "mail-1"]

    with filled.connection_for_write() as connection:
        assert receive(connection.default_channel) == "pay-2"
        assert receive(connection.default_channel) is None
    assert [row["queue"] for row in ask("queues")["queues"] if row["delayed"]] == ["orders"]


def test_a_task_that_a_worker_holds_is_not_cancelled(filled, pool, refused):
    with filled.connection_for_write() as connection:
        held = connection.default_channel.basic_get("orders")
        answer = refused("cancel", "pay-1", "pay-2")

        assert [row["id"] for row in answer["claimed"]] == ["pay-1"]
        assert [row["id"] for row in answer["cancelled"]] == ["pay-2"]
        status, lines = pool("cancel", "pay-1")
        assert (status, "a worker holds it" in lines[0][0]) == (1, True)
        held.ack()
    assert refused("cancel", "pay-1")["missing"] == ["pay-1"]


def test_a_dead_letter_is_not_cancelled(app, pool, refused):
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        declare(channel, "dead")
        to_dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
        app.send_task("pay", task_id="pay-1", queue=Queue("q", queue_arguments=to_dead))
        channel.basic_get("q").reject()

        answer = refused("cancel", "pay-1")
        assert ([row["queue"] for row in answer["dead_letters"]], answer["missing"]) == (["dead"], [])
        assert "celery pool dead dead --delete" in str(pool("cancel", "pay-1")[1])


def test_an_id_of_another_project_is_not_found(filled, refused, ask):
    filled.conf.broker_transport_options = {"project": "another"}

    for command in (("cancel", "pay-1"), ("now", "pay-3"), ("reschedule", "pay-1", "--in", "5m")):
        assert refused(*command)["missing"] == [command[1]]
    filled.conf.broker_transport_options = {}
    assert len(ask("tasks", "pay")["tasks"]) == 3


def test_a_delayed_task_runs_now(filled, ask):
    assert [row["state"] for row in ask("now", "pay-3")["changed"]] == ["ready"]

    with filled.connection_for_write() as connection:
        received = {receive(connection.default_channel) for _ in range(3)}
    assert received == {"pay-1", "pay-2", "pay-3"}


def test_a_task_is_rescheduled(filled, ask, pool):
    (row,) = ask("reschedule", "pay-1", "--in", "5m")["changed"]
    assert row["state"] == "delayed"
    assert 200 < row["due"] - time.time() <= 301

    (row,) = ask("reschedule", "pay-1", "--at", "2100-01-01T00:00:00Z")["changed"]
    assert row["due"] == 4102444800
    assert ask("reschedule", "pay-2", "--priority", "9")["changed"][0]["priority"] == 9


@pytest.mark.parametrize(
    "arguments", [(), ("--in", "5m", "--at", "2100-01-01"), ("--at", "soon"), ("--in", "soon"), ("--priority", "300")]
)
def test_a_wrong_change_is_a_wrong_usage(app, pool, arguments):
    with app.connection_for_write() as connection:
        connection.connect()

    assert pool("reschedule", "pay-1", *arguments)[0] == 2


@pytest.mark.parametrize("odd", ["", "\x1b[31m", "x" * 1000, "\ud800", "*"])
def test_an_odd_id_is_missing_and_reaches_no_terminal_raw(app, pool, odd):
    send(app, "pay", "pay-1")

    status, lines = pool("cancel", odd)

    assert status == 1
    assert "no such task waits" in lines[0][0]
    assert "\x1b" not in lines[0][0]


def test_more_than_is_read_is_said(app, ask, pool, monkeypatch):
    monkeypatch.setattr("kombu_pool.operator.tasks.MAX_SEARCHED", 2)
    for number in range(3):
        send(app, "pay", f"pay-{number}")

    document = ask("tasks", "pay")

    assert document["complete"] is False
    assert len(document["tasks"]) == 2
    assert "There are more" in str(pool("tasks"))


def test_a_cancelled_task_says_that_its_result_stays_pending(app, pool):
    send(app, "pay", "pay-1")

    assert "The results of these tasks stay PENDING" in str(pool("cancel", "pay-1"))


def pay(): ...


@pytest.fixture
def shop(app, tmp_path):
    """The application with a result backend and a task."""
    (tmp_path / "results").mkdir()
    app.conf.result_backend = f"file://{tmp_path}/results"
    app.conf.task_default_queue = "orders"
    app.task(name="pay")(pay)
    return app


def test_a_cancelled_task_is_revoked_where_the_application_is_at_hand(shop, ask):
    result = shop.tasks["pay"].apply_async()
    kept = shop.tasks["pay"].apply_async()

    answer = ask("cancel", result.id)
    assert ([row["id"] for row in answer["cancelled"]], answer["results"]) == ([result.id], "REVOKED")

    assert (result.state, kept.state) == ("REVOKED", "PENDING")
    with pytest.raises(TaskRevokedError):
        result.get(timeout=LIMIT)


def test_a_result_backend_that_is_down_is_named_and_the_task_is_cancelled(app, ask, pool, tmp_path):
    (tmp_path / "results").mkdir()
    app.conf.result_backend = f"file://{tmp_path}/results"
    send(app, "pay", "pay-1")
    shutil.rmtree(tmp_path / "results")

    status, lines = pool("cancel", "pay-1")

    assert status == 1
    assert "its result cannot be stored" in str(lines)
    assert ask("tasks")["tasks"] == []


def test_results_are_said_to_be_revoked_only_if_they_are(shop, refused, pool, tmp_path):
    send(shop, "pay", "pay-1")
    assert refused("cancel", "pay-9")["results"] == "PENDING"

    shutil.rmtree(tmp_path / "results")

    status, lines = pool("cancel", "pay-1", "--json")
    assert (status, [line[0] for line in lines if '"results"' in line[0]]) == (1, ['  "results": "PENDING"'])


@pytest.mark.parametrize(
    "arguments",
    [
        ("--id", "pay-1", "pay"),
        ("--id", "pay-1", "--state", "ready"),
        ("--id", "pay-1", "--older-than", "1h"),
        ("--id", "pay-1", "--limit", "1"),
        ("--id", "pay-1", "--queue", "orders", "--queue", "mails"),
        ("pay", "--older-than", "500ms"),
    ],
)
def test_an_option_without_an_effect_is_a_wrong_usage(app, pool, arguments):
    send(app, "pay", "pay-1")

    assert pool("tasks", *arguments)[0] == 2
