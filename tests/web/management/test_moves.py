"""The paths that move queues from pool to pool, which RabbitMQ does not have."""

from __future__ import annotations

import pytest

from kombu_pool.moves import COPYING, PLANNED
from kombu_pool.transport.processes import new_owner_id
from tests.support.transport.traffic import eventually

MOVE = "/queues/%2F/orders/move"


@pytest.fixture
def pools(api, tmp_path):
    """``orders`` with three messages, and an empty pool beside that of the control store."""
    api.done("PUT", "/queues/%2F/orders", {})
    for number in range(3):
        api.publish("orders", f"order {number}")
    api.store.control.pools_controller.create("new", 0, f"sqlite:///{tmp_path}/new.db")
    return api


@pytest.fixture
def held(pools):
    """Return a function that has another process hold a move of ``orders`` in a phase."""

    def plan(phase):
        queue_moves = pools.store.catalog.moves
        found = queue_moves.plan("orders", None, "new", copies=True, holder=new_owner_id())
        while found.move.phase != phase:
            found = queue_moves.step("orders", None, found)

    return plan


def test_a_queue_moves_with_its_messages(pools):
    assert pools.send("PUT", MOVE, {"pool": "new"}).status_code == 201

    eventually(lambda: pools.get(MOVE)["state"] == "moved")
    (moved,) = pools.get("/moves")
    assert (moved["name"], moved["vhost"], moved["pool"], moved["mode"]) == ("orders", "/", "new", "copy")
    assert moved["messages_copied"] == 3
    assert moved["ended"] >= moved["since"]
    assert pools.queue("orders")["node"] == "new"
    assert [each["payload"] for each in pools.messages("orders")] == ["order 0", "order 1", "order 2"]


def test_a_move_that_is_not_over_tells_how_far_it_is(pools, held):
    held(COPYING)

    (moving,) = pools.get("/moves/%2F")

    assert moving == pools.get(MOVE)
    assert (moving["state"], moving["phase"], moving["ended"]) == ("moving", COPYING, None)
    assert (moving["messages"], moving["messages_unacknowledged"], moving["process_lives"]) == (3, 0, True)


def test_a_move_is_begun_once(pools, held):
    held(PLANNED)

    assert pools.send("PUT", MOVE, {"pool": "new", "mode": "copy"}).status_code == 204
    status, _, reason = pools.refused("PUT", MOVE, {"pool": "new", "mode": "drain"})

    assert (status, "moving already" in reason) == (400, True)


def test_a_move_ends_while_its_target_is_not_open(pools, held):
    held(PLANNED)

    assert pools.send("DELETE", MOVE).status_code == 204
    assert pools.refused("DELETE", MOVE)[0] == 404
    assert pools.refused("GET", MOVE)[0] == 404
    assert pools.get("/moves") == []


def test_a_move_whose_target_is_open_does_not_end(pools, held):
    held(COPYING)

    status, _, reason = pools.refused("DELETE", MOVE)

    assert (status, "let the move end" in reason) == (400, True)


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({}, 400, "pool must be"),
        ({"pool": 7}, 400, "pool must be"),
        ({"pool": "new", "mode": "fly"}, 400, "copy or drain"),
        ({"pool": "new", "mode": ["copy"]}, 400, "copy or drain"),
        ({"pool": "new", "to": "x"}, 400, "a move has no to"),
        ({"pool": "absent"}, 404, "absent"),
        ({"pool": "default"}, 400, "default"),
    ],
)
def test_a_move_that_cannot_be_is_refused_and_named(pools, body, status, named):
    found, _, reason = pools.refused("PUT", MOVE, body)

    assert (found, named in str(reason)) == (status, True), reason
    assert pools.get("/moves") == []


def test_an_absent_queue_is_not_found(pools):
    for method, body in (("GET", None), ("PUT", {"pool": "new"}), ("DELETE", None)):
        assert pools.refused(method, "/queues/%2F/absent/move", body)[0] == 404


def test_moves_are_written_to_the_audit_log(pools, caplog):
    with caplog.at_level("INFO"):
        pools.done("PUT", MOVE, {"pool": "new"})

    assert "orders/move" in caplog.text
