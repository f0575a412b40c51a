"""``celery pool move`` and ``moves``, over real stores."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import pytest
from kombu import Producer, Queue

from kombu_pool.cli.moves import sentence
from kombu_pool.operator import moves
from kombu_pool.operator.broker import open_broker
from tests.support.limits import LIMIT
from tests.support.servers.redis_shared import fresh_uri
from tests.support.transport.traffic import consume


def until(condition):
    end = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


@pytest.fixture
def filled(app, pool, tmp_path):
    """The pools ``old`` and ``new``, and 300 messages in the queue ``q`` of the first."""
    assert pool("add", "old", f"sqlite:///{tmp_path}/old.db")[0] == 0
    with app.connection_for_write() as connection:
        Queue("q")(connection.default_channel).declare()
        producer = Producer(connection.default_channel)
        for number in range(300):
            producer.publish(str(number), routing_key="q")
    assert pool("add", "new", fresh_uri())[0] == 0


@pytest.fixture
def holder(app):
    """A connection whose consumer holds messages until it is closed."""
    with app.connection_for_write() as connection:
        yield connection


@contextmanager
def in_the_background(work):
    """Run a function in another thread: a command has the main one, which gets the signals."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    thread.join(LIMIT)
    assert not thread.is_alive()


def bodies(app, count):
    with app.connection_for_write() as connection:
        inbox = consume(connection.default_channel, "q", ack=True)
        inbox.wait_for(count)
        return [message.payload for message in inbox.messages]


def pool_of(pool, queue="q"):
    return next(line[1] for line in pool("queues")[1] if line[0] == queue)


@pytest.mark.usefixtures("filled")
def test_a_queue_moves_with_its_messages_in_order(app, pool):
    assert pool("move", "q", "new") == (0, [["Moved q from old to new; 300 messages were copied."]])

    assert pool_of(pool) == "new"
    assert pool("moves") == (0, [["No queue is moving."]])
    assert bodies(app, 300) == [*map(str, range(300))]


@pytest.mark.usefixtures("filled")
def test_the_result_of_a_move_is_json_on_request(ask):
    assert ask("move", "q", "new", "--copy") == {
        "queue": "q", "source": "old", "target": "new", "result": "moved", "copied": 300,
    }  # fmt: skip


@pytest.mark.usefixtures("filled")
def test_a_move_that_is_not_waited_for_is_listed_and_continued_by_the_same_command(app, pool, ask):
    status, lines = pool("move", "q", "new", "--no-wait")

    assert status == 0
    assert "the workers move its messages" in lines[0][0]
    (row,) = ask("moves")["moves"]
    assert (row["queue"], row["source"], row["target"], row["mode"], row["phase"], row["copied"], row["left"]) == (
        "q", "old", "new", "copy", "copying", 0, 300,
    )  # fmt: skip
    assert (row["holder"], row["lives"], row["held"]) == (None, False, 0)
    assert pool("moves")[1][1][:9] == ["q", "old", "new", "copy", "copying", "0", "300", "0", "no"]
    assert pool("move", "q", "new")[0] == 0
    assert bodies(app, 300)[-1] == "299"


@pytest.mark.usefixtures("filled")
def test_messages_that_a_worker_holds_are_waited_for(app, pool, holder):
    consume(holder.default_channel, "q").wait_for(1)
    seen = []

    def release():
        seen.append(until(lambda: waiting(app)))
        beats = beats_of(app)
        until(lambda: beats_of(app) >= beats + 3)
        holder.release()

    with in_the_background(release):
        status, lines = pool("move", "q", "new")

    (row,) = seen
    assert (status, row.left, row.lives) == (0, row.held, True)
    assert row.held > 0
    assert any("held by workers; waiting for them" in line[0] for line in lines)
    assert lines[-1][0].startswith("Moved q from old to new")


def beats_of(app):
    with open_broker(app) as broker:
        return broker.store.catalog.moves.find("q").move.beats


def rows(app):
    with open_broker(app) as broker:
        return moves.list_moves(broker.store, broker.project)


def waiting(app):
    """Return the move once nothing but what is held is left."""
    return next((row for row in rows(app) if row.held and row.left == row.held), None)


@pytest.mark.usefixtures("filled")
def test_a_drained_queue_is_emptied_by_its_consumers(app, pool):
    found = []

    def work():
        until(lambda: rows(app))
        found.extend(bodies(app, 300))

    with in_the_background(work):
        status, lines = pool("move", "q", "new", "--drain")

    assert (status, lines[-1]) == (0, ["Moved q from old to new; 0 messages were copied."])
    assert found == [*map(str, range(300))]


@pytest.mark.usefixtures("filled")
def test_a_drain_becomes_a_copy_on_request(app, pool, ask):
    assert pool("move", "q", "new", "--drain", "--no-wait")[0] == 0
    assert ask("moves")["moves"][0]["mode"] == "drain"

    assert pool("move", "q", "new", "--copy")[1] == [["Moved q from old to new; 300 messages were copied."]]


@pytest.mark.usefixtures("filled")
def test_ctrl_c_leaves_a_move_to_the_workers_and_says_how_to_go_on(app):
    with open_broker(app) as broker:
        done = moves.move(broker.store, broker.project, "q", "new", lambda now: now.phase == "copying")

        assert done.result == moves.LEFT
        (row,) = moves.list_moves(broker.store, broker.project)
        assert (row.holder, row.lives) == (None, False)
    assert sentence(done) == "The move of q is left to the workers; to go on here: celery pool move q new"


@pytest.mark.usefixtures("filled")
def test_a_move_that_another_process_takes_over_is_not_waited_for(app):
    with open_broker(app) as broker, open_broker(app) as other:

        def progress(now):
            if now.phase == "copying":
                found = other.store.catalog.moves.find("q")
                other.store.catalog.moves.take_over("q", None, found, "another")
            return False

        done = moves.move(broker.store, broker.project, "q", "new", progress)

        assert done.result == moves.TAKEN_OVER


@pytest.mark.usefixtures("filled")
def test_a_move_is_aborted_until_its_pool_is_open(app, pool):
    with open_broker(app) as broker:
        broker.store.catalog.moves.plan("q", None, "new", copies=True, holder="")

    assert pool("move", "q", "--abort") == (0, [["The move of q has ended: it stays."]])
    assert pool_of(pool) == "old"
    assert pool("move", "q", "new", "--no-wait")[0] == 0
    status, lines = pool("move", "q", "--abort")
    assert (status, "open in pool 'new' already" in lines[0][0]) == (1, True)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("absent", "new"), "absent"),
        (("q", "nowhere"), "nowhere"),
        (("q", "old"), "in pool 'old' already"),
        (("q", "--abort"), "is not moving"),
    ],
    ids=["queue", "pool", "same", "abort"],
)
def test_what_cannot_be_moved_is_said(pool, arguments, text):
    status, lines = pool("move", *arguments)

    assert status == 1
    assert text in lines[0][0]


@pytest.mark.usefixtures("filled")
def test_a_moving_queue_is_not_moved_elsewhere(pool, tmp_path):
    assert pool("add", "third", f"sqlite:///{tmp_path}/third.db")[0] == 0
    assert pool("move", "q", "new", "--no-wait")[0] == 0

    status, lines = pool("move", "q", "third")

    assert status == 1
    assert "is moving to pool 'new'" in lines[0][0]


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("arguments", [("q",), ("q", "new", "--abort"), ("q", "--abort", "--no-wait")], ids=" ".join)
def test_a_move_without_a_pool_is_a_wrong_usage(pool, arguments):
    assert pool("move", *arguments)[0] == 2


@pytest.mark.usefixtures("filled")
def test_a_target_that_does_not_answer_ends_the_move(app, pool):
    with open_broker(app) as broker:
        broker.store.control.pools_controller.create("down", 100, "redis://127.0.0.1:1/0")

    status, lines = pool("move", "q", "down")

    assert status == 1
    assert "down" in lines[0][0]
    assert pool("moves") == (0, [["No queue is moving."]])
    assert bodies(app, 300)[-1] == "299"
