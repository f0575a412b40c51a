"""``celery pool dead`` and ``celery pool redrive``, called as on the command line."""

from __future__ import annotations

import re
import signal
from contextlib import contextmanager

import pytest
from kombu import Queue

DEAD_LETTERED = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@contextmanager
def channel_of(app):
    with app.connection_for_write() as connection:
        yield connection.default_channel


@pytest.fixture
def dead_letter(app):
    """Declare a queue, publish to it, and reject the messages."""

    def dead_letter(queue, *bodies, **options):
        with channel_of(app) as channel:
            Queue("dead")(channel).declare()
            Queue(queue, queue_arguments=DEAD_LETTERED)(channel).declare()
            producer = app.amqp.Producer(channel)
            for body in bodies:
                producer.publish(body, routing_key=queue, **options)
                channel.basic_get(queue).reject()
            channel.connection.broker.settlement.flush()

    return dead_letter


def counts(app, *queues):
    with channel_of(app) as channel:
        return [channel.queue_declare(queue, passive=True).message_count for queue in queues]


def test_queues_with_dead_letters_are_listed(pool, app, dead_letter):
    dead_letter("orders", "a", "b")
    dead_letter("mails", "c")
    with channel_of(app) as channel:
        app.amqp.Producer(channel).publish("alive", routing_key="orders")

    status, lines = pool("dead")

    assert status == 0
    assert lines[0] == ["QUEUE", "READY", "FROM", "REASONS", "LAST"]
    assert [line[:4] for line in lines[1:]] == [["dead", "3", "mails, orders", "rejected"]]
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\+00:00", lines[1][4])


def test_the_letters_of_a_queue_are_listed(pool, dead_letter):
    dead_letter("orders", "tea", {"cups": 2})

    _, lines = pool("dead", "dead")

    assert [line[1:4] for line in lines[1:]] == [["orders", "rejected", "1"]] * 2
    assert [line[5] for line in lines[1:]] == ["tea", '{"cups": 2}']
    assert len(pool("dead", "dead", "--limit", "1")[1]) == 2


def test_a_task_is_shown_as_its_sender_lets_it_be_shown(pool, app, dead_letter):
    dead_letter("orders")
    app.conf.task_queues = [Queue("orders", queue_arguments=DEAD_LETTERED)]
    app.send_task("pay", ("4111 1111 1111 1111",), queue="orders", argsrepr="('<card>',)", kwargsrepr="{}")
    with channel_of(app) as channel:
        channel.basic_get("orders").reject()

    _, lines = pool("dead", "dead")

    assert lines[1][5] == "pay ('<card>',) {}"


def test_a_long_body_and_a_password_are_not_shown_whole(pool, dead_letter):
    dead_letter("orders", "x" * 5000, "redis://user:hunter2@host/0", "two\nlines\tand \x1b[31mred")

    _, lines = pool("dead", "dead")

    assert "hunter2" not in str(lines)
    assert [len(line) for line in lines[1:]] == [6, 6, 6]
    assert lines[1][5] == f"{'x' * 59}…"
    assert lines[3][5] == "two lines and  [31mred"


def test_a_queue_that_does_not_exist_is_named(pool, app):
    with app.connection_for_write() as connection:
        connection.connect()
    for command in (("dead", "nowhere"), ("redrive", "nowhere"), ("redrive", "nowhere", "--dry-run")):
        status, lines = pool(*command)

        assert status == 1
        assert "'nowhere'" in lines[0][0]


def test_letters_are_given_back(pool, app, dead_letter):
    dead_letter("orders", "a", "b")
    dead_letter("mails", "c")

    status, lines = pool("redrive", "dead")

    assert (status, lines[1:]) == (0, [["mails", "1", "0", ""], ["orders", "2", "0", ""]])
    assert counts(app, "orders", "mails", "dead") == [2, 1, 0]
    assert pool("dead")[1][1:] == []


def test_letters_are_given_to_another_queue(pool, app, dead_letter):
    dead_letter("orders", "a", "b")
    with channel_of(app) as channel:
        Queue("rescue")(channel).declare()

    assert pool("redrive", "dead", "--to", "rescue", "--limit", "1")[1][1:] == [["rescue", "1", "0", ""]]
    assert counts(app, "orders", "rescue", "dead") == [0, 1, 1]


def test_letters_are_chosen(pool, app, dead_letter):
    dead_letter("orders", "a", "b")
    dead_letter("mails", "c")
    last = pool("dead", "dead")[1][-1][0]

    assert pool("redrive", "dead", "--reason", "expired", "--reason", "maxlen")[1][1:] == []
    assert pool("redrive", "dead", "--from", "orders", "--reason", "rejected")[1][1:] == [["orders", "2", "0", ""]]
    assert pool("redrive", "dead", "--id", last)[1][1:] == [["mails", "1", "0", ""]]


def test_a_dry_run_changes_nothing(pool, app, dead_letter):
    dead_letter("orders", "a", "b")
    dead_letter("gone", "c")
    with channel_of(app) as channel:
        channel.queue_delete("gone")

    status, lines = pool("redrive", "dead", "--dry-run")

    assert status == 0
    assert lines[1:] == [["gone", "rejected", "1", "no"], ["orders", "rejected", "2", "yes"]]
    assert pool("redrive", "dead", "--dry-run", "--limit", "1")[1][1:] == [["orders", "rejected", "1", "yes"]]
    assert counts(app, "orders", "dead") == [0, 3]


def test_what_had_to_stay_is_an_error_that_says_why(pool, app, dead_letter):
    dead_letter("gone", "a")
    with channel_of(app) as channel:
        channel.queue_delete("gone")

    status, lines = pool("redrive", "dead")

    assert (status, lines[1][:3]) == (1, ["gone", "0", "1"])
    assert "does not exist" in lines[1][3]
    assert counts(app, "dead") == [1]


def test_a_queue_whose_pool_does_not_answer_is_listed(pool, app, dead_letter, tmp_path):
    dead_letter("orders", "a")
    disk = tmp_path / "disk"
    disk.mkdir()
    pool("add", "quick", f"sqlite:///{disk}/quick.db")
    pool("set", "default", "--weight", "0")
    with channel_of(app) as channel:
        Queue("lost")(channel).declare()
    for file in disk.iterdir():
        file.unlink()
    disk.rmdir()
    disk.touch()

    rows = pool("dead")[1][1:]

    assert [row[:2] for row in rows] == [["dead", "1"], ["lost", "?"]]


def test_ctrl_c_ends_it_after_a_step(pool, app, dead_letter, monkeypatch):
    dead_letter("orders", *range(101))

    def interrupt(_, body):
        if body["body"] == b"0" or body["body"] == "0":
            signal.raise_signal(signal.SIGINT)
        return body

    monkeypatch.setattr("kombu_pool.transport.upkeep.dead_letters.restore_address", interrupt)

    status, lines = pool("redrive", "dead")

    assert (status, lines[1:]) == (130, [["orders", "100", "0", ""]])
    assert counts(app, "orders", "dead") == [100, 1]


def test_who_watches_sees_how_far_it_is(pool, dead_letter, monkeypatch):
    dead_letter("orders", *range(3))
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True)

    _, lines = pool("redrive", "dead")

    assert "Requeuing" in str(lines)
    assert "100%" in str(lines)


def test_dead_letters_are_deleted(pool, app, dead_letter):
    dead_letter("orders", "a", "b")
    dead_letter("mails", "c")

    assert pool("dead", "dead", "--delete")[0] == 1  # nothing answers the question
    assert pool("dead", "dead", "--delete", "--from", "orders", "-y") == (0, [["Deleted 2 dead letters from dead."]])
    assert counts(app, "dead") == [1]
    assert pool("dead", "dead", "--delete", "--reason", "expired", "-y")[1] == [["Deleted 0 dead letters from dead."]]
    (last,) = pool("dead", "dead")[1][1:]
    assert pool("dead", "dead", "--delete", "--id", last[0], "-y")[0] == 0
    assert counts(app, "dead") == [0]


def test_only_dead_letters_are_deleted(pool, app, dead_letter):
    dead_letter("orders", "a")
    with channel_of(app) as channel:
        app.amqp.Producer(channel).publish("alive", routing_key="dead")

    assert pool("dead", "dead", "--delete", "-y") == (0, [["Deleted 1 dead letters from dead."]])
    assert counts(app, "dead") == [1]


def test_what_is_to_be_deleted_must_be_said(pool, app, dead_letter):
    dead_letter("orders", "a")

    assert pool("dead", "--delete", "-y")[0] == 2
    assert pool("dead", "dead", "--from", "orders")[0] == 2
    assert pool("dead", "nowhere", "--delete", "-y")[0] == 1


def test_dead_letters_are_peeked_at_with_their_origin(ask, pool, dead_letter):
    dead_letter("orders", "tea")

    (view,) = ask("peek", "dead", "--dead")["messages"]

    assert (view["dead_letter"]["queue"], view["dead_letter"]["reason"]) == ("orders", "rejected")
    assert pool("peek", "dead", "--dead")[1][1][-2:] == ["orders", "rejected"]


def test_a_redrive_may_print_json(ask, dead_letter):
    dead_letter("orders", "a")

    assert ask("redrive", "dead", "--dry-run")["would_move"] == [
        {"to": "orders", "reason": "rejected", "count": 1, "exists": True}
    ]
    assert ask("redrive", "dead") == {"moved": {"orders": 1}, "remaining": {}, "refusals": {}, "duplicated": 0}
