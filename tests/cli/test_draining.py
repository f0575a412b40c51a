"""``celery pool drain``, ``rebalance``, ``rm --force`` and ``apply``, over real stores."""

from __future__ import annotations

import pytest
from kombu import Producer, Queue

from kombu_pool.operator import moves, pool_removal, rebalance
from kombu_pool.operator.broker import open_broker
from kombu_pool.testing.handles import QueueHandle
from tests.support.servers.redis_server import Server
from tests.support.servers.redis_shared import fresh_uri
from tests.support.transport.traffic import consume


@pytest.fixture(autouse=True)
def short_period(monkeypatch):
    """Measure rates for a moment only."""
    monkeypatch.setattr(rebalance.plan_rebalance, "__defaults__", (0.05,))


def declare(app, counts, **arguments):
    """Declare queues with so many messages."""
    with app.connection_for_write() as connection:
        for name, count in counts.items():
            Queue(name, **arguments)(connection.default_channel).declare()
            producer = Producer(connection.default_channel)
            for number in range(count):
                producer.publish(str(number), routing_key=name)


def pools_of(ask):
    return {row["queue"]: row["pool"] for row in ask("queues", "--all")["queues"]}


def bodies(app, queue, count):
    with app.connection_for_write() as connection:
        inbox = consume(connection.default_channel, queue, ack=True)
        inbox.wait_for(count)
        return [message.payload for message in inbox.messages]


@pytest.fixture
def three(app, pool, tmp_path):
    """The pool ``old`` with three queues, and the pools ``one``, ``two``, and ``quick`` of another flavor."""
    assert pool("add", "old", f"sqlite:///{tmp_path}/old.db")[0] == 0
    declare(app, {"a": 5, "b": 150, "c": 0})
    for name, uri in (("one", f"sqlite:///{tmp_path}/one.db"), ("two", fresh_uri())):
        assert pool("add", name, uri)[0] == 0
    assert pool("add", "quick", f"sqlite:///{tmp_path}/quick.db", "--flavor", "quick")[0] == 0


@pytest.mark.usefixtures("three")
def test_a_pool_is_emptied_and_removed(app, pool, ask):
    status, lines = pool("drain", "old", "--remove", "--parallel", "3")

    assert status == 0
    assert lines[0] == ["QUEUE", "TO", "COPIED", "ERROR"]
    assert [(line[0], line[2]) for line in lines[1:4]] == [("a", "5"), ("b", "150"), ("c", "0")]
    assert lines[-1] == ["Removed old."]
    assert set(pools_of(ask).values()) <= {"one", "two"}
    assert "old" not in [row["pool"] for row in ask("ls")["pools"]]
    assert bodies(app, "b", 150) == [*map(str, range(150))]


@pytest.mark.usefixtures("three")
def test_a_drained_pool_stays_without_a_weight(pool, ask):
    done = ask("drain", "old")

    assert (done["pool"], done["removed"], done["left"]) == ("old", False, {})
    assert {each["queue"] for each in done["moved"]} == {"a", "b", "c"}
    assert next(row for row in ask("ls")["pools"] if row["pool"] == "old")["weight"] == 0
    assert pool("drain", "old") == (0, [["Pool old has no queues."]])
    assert pool("rm", "old") == (0, [["Removed old."]])


@pytest.mark.usefixtures("three")
def test_a_queue_that_goes_with_its_consumers_is_named(app, pool):
    with open_broker(app) as broker:
        broker.store.control.catalogue_controller.insert(None, "replies", "old")
        broker.store.queue_controller.create("replies", None)
        broker.store.control.consumers_controller.set_lifetime("replies", 100.0, from_now=True)

    status, lines = pool("drain", "old", "--remove")

    assert status == 1
    (line,) = [line for line in lines if line[0] == "replies"]
    assert "goes with its consumers" in line[3]
    assert "old" in [line[0] for line in pool("ls")[1]]


@pytest.mark.usefixtures("three")
def test_a_pool_whose_flavor_no_other_pool_has_is_not_drained(pool, ask):
    status, lines = pool("drain", "quick")

    assert status == 1
    assert "No other pool of flavor 'quick' takes new queues" in lines[0][0]
    assert next(row for row in ask("ls")["pools"] if row["pool"] == "quick")["weight"] == 100


@pytest.mark.usefixtures("three")
def test_a_removal_that_is_refused_names_the_command_that_empties_the_pool(pool):
    status, lines = pool("rm", "old")

    assert status == 1
    assert "celery pool drain old moves them" in lines[0][0]


@pytest.mark.usefixtures("three")
def test_a_drain_that_is_interrupted_leaves_its_moves_and_begins_no_other(app):
    with open_broker(app) as broker:
        done = pool_removal.drain_pool(broker.store, broker.project, "old", lambda _: True, parallel=1)

        left = moves.list_moves(broker.store, broker.project)
        assert [row.queue for row in left] == ["a"]
        assert done.left == {"a": "its move is left", "b": "it was not begun", "c": "it was not begun"}

        again = pool_removal.drain_pool(broker.store, broker.project, "old", lambda _: False, removes=True)

    assert (again.removed, again.left) == (True, {})


# A lost store.


@pytest.fixture(params=["sqlite", "redis"])
def lost(request, app, pool, tmp_path):
    """A pool with the queues ``a`` and ``b``, whose store is lost."""
    if request.param == "sqlite":
        assert pool("add", "old", f"sqlite:///{tmp_path}/old.db")[0] == 0
        declare(app, {"a": 5, "b": 3})
        for file in tmp_path.glob("old.db*"):
            file.unlink()
    else:
        with Server() as server:
            assert pool("add", "old", f"redis://{server.address}/0")[0] == 0
            declare(app, {"a": 5, "b": 3})
    assert pool("add", "new", f"sqlite:///{tmp_path}/new.db")[0] == 0


@pytest.mark.usefixtures("lost")
def test_a_pool_whose_store_is_lost_is_removed_by_force_and_its_queues_live_on(app, pool, ask):
    status, lines = pool("rm", "old", "--force", "--yes")

    assert status == 0, lines
    assert lines == [
        ["QUEUE", "GOES TO", "LOSES"], ["a", "new", "about 5"], ["b", "new", "about 3"], ["Removed old."],
    ]  # fmt: skip
    assert pools_of(ask) == {"a": "new", "b": "new"}
    declare(app, {"a": 1})
    assert bodies(app, "a", 1) == ["0"]


@pytest.mark.parametrize("lost", ["redis"], indirect=True)
@pytest.mark.usefixtures("lost")
def test_a_pool_that_does_not_answer_is_not_emptied(pool):
    status, lines = pool("drain", "old")

    assert status == 1
    assert [line[0] for line in lines[1:]] == ["a", "b"]
    assert pool("moves") == (0, [["No queue is moving."]])


@pytest.mark.usefixtures("three")
def test_what_a_living_store_would_lose_is_counted_and_asked_for(pool):
    status, lines = pool("rm", "old", "--force")

    assert status == 1
    assert [line[::2] for line in lines[1:4]] == [["a", "5"], ["b", "150"], ["c", "0"]]
    assert "Remove old with all messages of these queues?" in lines[4][0]
    assert "old" in [line[0] for line in pool("ls")[1]]


@pytest.mark.parametrize("steps", range(5))
@pytest.mark.parametrize("name", ["old", "new"])
def test_a_pool_that_is_lost_while_a_queue_moves_is_removed_by_force(app, pool, tmp_path, name, steps):
    for each in ("old", "new", "third"):
        assert pool("add", each, f"sqlite:///{tmp_path}/{each}.db", "--weight", "1" if each == "old" else "0")[0] == 0
    declare(app, {"q": 5})
    with open_broker(app) as broker:
        broker.store.control.pools_controller.update("third", weight=1)
        found = broker.store.catalog.moves.plan("q", None, "new", copies=True, holder="")
        for _ in range(steps):
            found = broker.store.catalog.moves.step("q", None, found)

    assert pool("rm", name, "--force", "--yes")[0] == 0

    with open_broker(app) as broker:
        queue = QueueHandle(broker.store, "q", None)
        queue.post("more")
        assert queue.free()[-1] == "more"
        assert broker.store.catalog.pool_of("q") != name
        assert moves.list_moves(broker.store, None) == []


# Towards the weights.


@pytest.fixture
def uneven(app, pool, tmp_path):
    """Three queues in one pool, and a pool of the same weight without one."""
    assert pool("add", "full", f"sqlite:///{tmp_path}/full.db")[0] == 0
    declare(app, {"small": 10, "middle": 60, "big": 70})
    assert pool("add", "empty", f"sqlite:///{tmp_path}/empty.db")[0] == 0


@pytest.mark.usefixtures("uneven")
def test_a_plan_has_the_fewest_moves_and_changes_nothing(pool, ask):
    plan = ask("rebalance", "--dry-run")

    assert [(each["queue"], each["source"], each["target"], each["messages"]) for each in plan["moves"]] == [
        ("big", "full", "empty", 70)
    ]
    assert {each["pool"]: (each["share"], each["now"], each["after"]) for each in plan["pools"]} == {
        "full": (0.5, 1.0, 0.5), "empty": (0.5, 0.0, 0.5),
    }  # fmt: skip
    assert set(pools_of(ask).values()) == {"full"}
    assert ["full", "100", "50%", "100%", "50%"] in pool("rebalance", "--dry-run")[1]


@pytest.mark.usefixtures("uneven")
def test_pools_are_brought_towards_their_weights(app, pool, ask):
    assert pool("rebalance")[0] == 0

    assert pools_of(ask) == {"small": "full", "middle": "full", "big": "empty"}
    assert pool("rebalance") == (0, [["No queue need move."]])
    assert len(bodies(app, "big", 70)) == 70


@pytest.mark.usefixtures("uneven")
def test_a_pool_without_a_weight_takes_nothing_and_keeps_what_it_has(pool):
    assert pool("set", "empty", "--weight", "0")[0] == 0

    assert pool("rebalance") == (0, [["No queue need move."]])


# The settings.


def settings(app, *pools):
    app.conf.broker_transport_options = {"pools": [*pools]}


def test_the_pools_of_the_settings_are_added_and_changed(app, pool, ask, tmp_path):
    first, other = ({"name": name, "uri": f"sqlite:///{tmp_path}/{name}.db"} for name in ("first", "other"))
    assert pool("add", "first", first["uri"])[0] == 0
    assert pool("add", "stranger", f"sqlite:///{tmp_path}/stranger.db")[0] == 0
    settings(app, {**first, "weight": 7, "flavor": "quick", "options": {"synchronous": "FULL"}}, other)

    planned = ask("apply", "--dry-run")["pools"]

    assert planned == [
        {"pool": "first", "action": "change", "what": ["weight", "flavor", "options"]},
        {"pool": "other", "action": "add", "what": []},
        {"pool": "stranger", "action": "not in the settings", "what": []},
    ]
    assert pool("apply") == (
        0,
        [
            ["POOL", "ACTION", "WHAT"], ["first", "changed", "weight, flavor, options"], ["other", "added", ""],
            ["stranger", "not in the settings", ""],
        ],
    )  # fmt: skip
    row = next(row for row in ask("ls")["pools"] if row["pool"] == "first")
    assert (row["weight"], row["flavor"], row["options"]) == (7, "quick", ["synchronous"])
    assert pool("rm", "stranger")[0] == 0
    assert pool("apply") == (0, [["The pools are as the settings say."]])


def test_a_removed_pool_of_the_settings_is_added_again(app, pool, tmp_path):
    settings(app, {"name": "first", "uri": f"sqlite:///{tmp_path}/first.db"})
    assert pool("ls")[0] == 1
    assert pool("apply")[1][1:] == [["first", "added", ""]]
    assert pool("rm", "first")[0] == 0

    assert pool("apply")[1][1:] == [["first", "added", ""]]


def test_another_uri_is_named_and_stays(app, pool, tmp_path):
    assert pool("add", "first", f"sqlite:///{tmp_path}/first.db")[0] == 0
    settings(app, {"name": "first", "uri": f"sqlite:///{tmp_path}/other.db", "weight": 5})

    assert pool("apply") == (
        0, [["POOL", "ACTION", "WHAT"], ["first", "changed", "weight"], ["first", "differs", "uri"]],
    )  # fmt: skip


def test_options_that_lead_a_pool_with_queues_to_another_store_fail(app, pool):
    uri = fresh_uri()
    assert pool("add", "first", uri)[0] == 0
    declare(app, {"q": 1})
    settings(app, {"name": "first", "uri": uri, "options": {"key_prefix": "other"}})

    status, lines = pool("apply")

    assert (status, lines[1][:2]) == (1, ["first", "failed"])


def test_settings_without_pools_are_said(pool):
    status, lines = pool("apply")

    assert (status, "name no pools" in lines[0][0]) == (1, True)
