"""``celery pool queues``, ``queue``, ``watch`` and ``delete``, called as on the command line."""

from __future__ import annotations

import json
import os
import platform
import time

import pytest
from kombu import Queue

import kombu_pool
from kombu_pool.operator import queues as operator_queues
from kombu_pool.operator import rates
from tests.support.limits import LIMIT, best_of, seconds_of
from tests.support.servers.redis_server import Server

NASTY = "red\x1b[31m\n\trow"


def declare(app, *names, **arguments):
    with app.connection_for_write() as connection:
        for name in names:
            Queue(name, queue_arguments=arguments or None)(connection.default_channel).declare()


def publish(app, queue, count=1, **options):
    with app.connection_for_write() as connection:
        producer = connection.Producer()
        for _ in range(count):
            producer.publish({}, routing_key=queue, **options)


def rows_of(document):
    return {row["queue"]: row for row in document["queues"]}


def test_the_messages_of_each_queue_are_counted_by_state(stored, ask):
    declare(stored, "orders", "mails")
    publish(stored, "orders", 3)
    publish(stored, "mails", headers={"task": "t", "id": "1", "eta": "2100-01-01T00:00:00+00:00"})
    with stored.connection_for_write() as connection:
        connection.default_channel.basic_get("orders")
        document = ask("queues")

    orders, mails = rows_of(document)["orders"], rows_of(document)["mails"]
    assert (orders["ready"], orders["delayed"], orders["claimed"]) == (2, 0, 1)
    assert (mails["ready"], mails["delayed"], mails["claimed"]) == (0, 1, 0)
    assert 0 <= orders["oldest_age"] < LIMIT
    assert mails["oldest_age"] is None
    assert document["totals"] == {
        "queues": 2, "ready": 2, "delayed": 1, "claimed": 1, "consumers": 0, "exact": True,
    }  # fmt: skip


def test_a_consumer_is_shown_with_its_host_its_process_and_its_time(stored, ask, pool):
    declare(stored, "orders")
    before = time.time()
    with stored.connection_for_write() as connection, connection.Consumer([Queue("orders")], tag_prefix="worker"):
        document = ask("queue", "orders")
        lines = pool("queue", "orders")[1]

    assert document["consumers"] == 1
    (consumer,) = document["consumed_by"]
    assert (consumer["host"], consumer["pid"], consumer["dead"]) == (platform.node(), os.getpid(), False)
    assert before - 1 <= consumer["since"] <= time.time() + 1
    assert lines[-1][:2] == [platform.node(), str(os.getpid())]
    assert ask("queue", "orders")["consumed_by"] == []


def test_a_message_that_is_held_is_shown_with_the_process_that_holds_it(stored, ask, pool):
    declare(stored, "orders")
    publish(stored, "orders", headers={"task": "shop.pay", "id": "pay-1"})
    publish(stored, "orders", headers={"task": "shop.pay", "id": "pay-2"})
    with stored.connection_for_write() as connection:
        connection.default_channel.basic_get("orders")
        (held,) = ask("queue", "orders")["held"]
        lines = pool("queue", "orders")[1]

    assert (held["id"], held["task"], held["queue"], held["claim_count"]) == ("pay-1", "shop.pay", "orders", 1)
    assert held["worker"] == {"host": platform.node(), "pid": os.getpid(), "dead": False}
    assert 0 <= held["held"] <= LIMIT
    assert lines[-1][:4] == [platform.node(), str(os.getpid()), "shop.pay", "pay-1"]
    assert ask("queue", "orders")["held"] == []


def test_a_queue_is_shown_with_its_arguments_and_bindings(stored, ask, pool):
    with stored.connection_for_write() as connection:
        queue = Queue("orders", "shop", "order.new", queue_arguments={"x-max-length": 5})
        queue(connection.default_channel).declare()

    document = ask("queue", "orders")

    assert document["declared"]["arguments"] == {"x-max-length": 5}
    assert {"exchange": "shop", "routing_key": "order.new", "arguments": {}} in document["bindings"]
    assert ["x-max-length  5"] in pool("queue", "orders")[1]


def test_a_queue_that_does_not_exist_is_an_error(pool, app):
    declare(app, "orders")
    for command in (("queue", "nowhere"), ("delete", "nowhere", "-y"), ("peek", "nowhere"), ("purge", "nowhere", "-y")):
        status, lines = pool(*command)

        assert status == 1, command
        assert "'nowhere'" in lines[0][0]


def test_celerys_own_queues_are_hidden(pool, app, ask):
    names = ("celery@host.celery.pidbox", "celeryev.1234", "0f8fad5b-d9cb-469f-a165-70867728950e", "orders")
    declare(app, *names)

    assert list(rows_of(ask("queues"))) == ["orders"]
    assert ask("queues")["hidden"] == 3
    assert sorted(rows_of(ask("queues", "--all"))) == sorted(names)
    assert list(rows_of(ask("queues", "*.pidbox"))) == ["celery@host.celery.pidbox"]


def test_queues_are_chosen_and_sorted(app, ask, pool, tmp_path):
    declare(app, "a", "b", "c[1]")
    publish(app, "b", 2)
    publish(app, "c[1]")

    assert list(rows_of(ask("queues", "--sort", "ready"))) == ["b", "c[1]", "a"]
    assert list(rows_of(ask("queues", "a", "c[1]"))) == ["a", "c[1]"]
    assert list(rows_of(ask("queues", "--pool", "default"))) == ["a", "b", "c[1]"]
    assert ask("queues", "--pool", "another")["queues"] == []
    assert pool("queues", "none")[1] == [["There are no queues."]]


def test_two_looks_show_the_growth_and_the_rates(stored, ask, pool):
    declare(stored, "orders")
    with stored.connection_for_write() as connection:
        channel, broker = connection.default_channel, connection.connection.broker
        producer = connection.Producer(channel)

        def work():
            for _ in range(4):
                producer.publish({}, routing_key="orders")
            channel.basic_get("orders").ack()
            broker.settlement.flush()
            broker.data.send_counters()

        work()
        before = rates.look(broker.data, None)
        work()
        (row,) = rates.compared(before, rates.look(broker.data, None)._replace(at=before.at + 2)).queues

    assert (row.growth, row.rate_in, row.rate_out) == (1.5, 2.0, 0.5)
    found = ask("queues", "--for", "10ms")["queues"][0]
    assert (found["growth"], found["rate_in"], found["rate_out"]) == (0, 0, 0)
    assert pool("queues", "--for", "10ms")[1][0][-3:] == ["GROWTH/s", "IN/s", "OUT/s"]


@pytest.mark.parametrize("duration", ["soon", "0s", "-1", "5 h"])
def test_a_wrong_duration_is_a_wrong_usage(pool, app, duration):
    declare(app, "orders")

    assert pool("queues", f"--for={duration}")[0] == 2


def test_queues_are_watched(app, pool):
    declare(app, "orders")

    status, lines = pool("watch", "--times", "2", "--every", "10ms", "--json")

    first, second = (json.loads("\t".join(line)) for line in lines)
    assert status == 0
    assert first["queues"][0]["growth"] is None
    assert second["queues"][0]["growth"] == 0
    assert second["time"] >= first["time"]


def test_a_pool_that_does_not_answer_in_time_hides_no_other_one(app, pool):
    with Server() as server:
        declare(app, "local")
        assert pool("add", "remote", server.uri())[0] == 0
        assert pool("set", "default", "--weight", "0")[0] == 0
        declare(app, "far")
        server.pause()
        try:
            commands = ("queues", "health", "doctor", "dead")
            shown = {name: pool(name, "--timeout", "1") for name in commands}
            taken = best_of(lambda: seconds_of(lambda: pool("queues", "--timeout", "1")), 3)
        finally:
            server.resume()

    status, lines = shown["queues"]
    assert status == 1
    assert ["far", "remote", "?", "?", "?", "?", "0"] in lines
    assert ["local", "default", "0", "0", "0", "", "0"] in lines
    assert "Pool 'remote'" in lines[-1][0]
    assert shown["health"][0] == shown["doctor"][0] == 1
    assert (shown["dead"][0], shown["dead"][1][1][:2]) == (1, ["far", "?"])
    assert ["remote", "no"] in [line[:2] for line in shown["health"][1]]
    assert ["unreachable", "remote"] in [line[:2] for line in shown["doctor"][1]]
    assert taken < 3


def test_the_default_time_for_a_pool_is_a_second(monkeypatch):
    monkeypatch.undo()

    assert operator_queues.POOL_TIMEOUT == 1.0


def test_a_name_with_control_characters_reaches_no_terminal_raw(app, pool, ask):
    declare(app, NASTY)

    for command in (("queues",), ("queue", NASTY), ("peek", NASTY), ("purge", NASTY, "-y"), ("dead", NASTY)):
        status, lines = pool(*command)
        shown = "\n".join("".join(line) for line in lines)
        assert status == 0
        assert "\x1b" not in shown
        assert "red\\x1b[31m\\n\\trow" in shown
    assert pool("queue", f"no{NASTY}")[1] != []
    assert "\x1b" not in str(pool("queue", f"no{NASTY}")[1][0][0])
    assert ask("queue", NASTY)["queue"] == NASTY


def test_a_queue_is_deleted_with_its_messages(stored, pool, ask):
    declare(stored, "orders", "mails")
    publish(stored, "orders", 2)

    assert pool("delete", "orders", "--if-empty", "-y")[0] == 1
    assert pool("delete", "orders")[0] == 1  # nothing answers the question
    assert pool("delete", "orders", "-y") == (0, [["Deleted orders."]])

    assert list(rows_of(ask("queues"))) == ["mails"]
    assert pool("delete", "mails", "--if-empty", "--if-unused", "-y")[0] == 0


def test_a_queue_with_a_consumer_is_not_deleted_if_it_must_be_unused(app, pool):
    declare(app, "orders")
    with app.connection_for_write() as connection, connection.Consumer([Queue("orders")]):
        status, lines = pool("delete", "orders", "--if-unused", "-y")

    assert (status, lines[0]) == (1, ["Error: orders has 1 consumer."])


def test_a_count_of_a_long_queue_is_a_lower_bound(app, tmp_path, pool, ask, monkeypatch):
    declare(app, "orders")
    monkeypatch.setattr(operator_queues, "MAX_COUNTED", 10)
    store = kombu_pool.open(f"sqlite:///{tmp_path}/control.db")
    store.message_controller.post("orders", [{"ttl": None, "body": n} for n in range(30)], None)
    store.close()

    assert pool("queues")[1][1][2] == "10+"
    assert ask("queues")["queues"][0]["exact"] is False


def test_a_queue_is_paused_and_resumed(stored, pool, ask):
    declare(stored, "orders", "mails")
    publish(stored, "orders")

    assert pool("pause", "orders") == (0, [["Paused orders."]])
    assert rows_of(ask("queues"))["orders"]["paused"] is True
    assert [line[-1] for line in pool("queues")[1]] == ["STATE", "", "paused", ""]
    with stored.connection_for_write() as connection:
        assert connection.default_channel.basic_get("orders") is None
        assert pool("resume", "orders")[0] == 0
        assert connection.default_channel.basic_get("orders") is not None
    assert pool("pause", "nowhere")[0] == pool("resume", "nowhere")[0] == 1


@pytest.mark.parametrize("order", ["growth", "in", "out"])
def test_an_order_by_a_rate_needs_two_looks(app, pool, order):
    declare(app, "orders")

    assert pool("queues", "--sort", order)[0] == 2
    assert pool("queues", "--sort", order, "--for", "10ms")[0] == 0


def test_a_message_or_a_consumer_that_comes_before_the_answer_keeps_a_queue(stored, pool, ask, monkeypatch):
    declare(stored, "orders", "mails")
    with stored.connection_for_write() as connection:
        channel = connection.default_channel
        consumer = connection.Consumer([Queue("mails")], channel=channel)
        arrivals = {"orders": lambda: publish(stored, "orders"), "mails": consumer.consume}
        monkeypatch.setattr("kombu_pool.cli.options.confirm", lambda question, _: arrivals[question.split()[1]]())

        assert pool("delete", "orders", "--if-empty") == (1, [["Error: orders has 1 message."]])
        assert pool("delete", "mails", "--if-unused") == (1, [["Error: mails has 1 consumer."]])
        assert sorted(rows_of(ask("queues"))) == ["mails", "orders"]


def test_a_queue_that_is_deleted_while_it_is_read_does_not_exist(app, tmp_path, pool, monkeypatch):
    declare(app, "orders")

    def delete(store, project, **asked):
        store.queue_controller.delete("orders", project)
        return operator_queues.list_queues(store, project, **asked)

    monkeypatch.setattr("kombu_pool.operator.queue_details.list_queues", delete)

    status, lines = pool("queue", "orders")

    assert (status, "'orders'" in lines[0][0]) == (1, True)
