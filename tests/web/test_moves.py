"""Moves of queues between pools, as the pages show, begin and end them."""

from __future__ import annotations

import os
import platform
import re
import threading
from html import unescape

import pytest

from kombu_pool.model import Expiry
from kombu_pool.moves import COPYING, PLANNED
from kombu_pool.operator import moves
from kombu_pool.operator.broker import BrokerUrl, open_broker
from kombu_pool.transport.processes import new_owner_id
from kombu_pool.web.pages import move_actions
from tests.cli.conftest import STORES
from tests.support.transport.traffic import eventually
from tests.support.web.forms import forms, press
from tests.support.web.shop import post, task

#: The process that holds a move, of another machine.
OTHER = "another machine:4711:9:00000000000000000000000000000000"
QUEUE = "/queue?name=orders"


def with_pools(broker, folder):
    """Create ``orders`` in the pool of the control store, with three tasks, and a pool ``new`` beside it."""
    store, project = broker[:2]
    store.queue_controller.create("orders", None, project)
    post(broker, "orders", *(task("pay", f"pay-{number}") for number in range(3)))
    store.control.pools_controller.create("new", 0, f"sqlite:///{folder}/new.db")
    return broker


@pytest.fixture(params=STORES)
def stored(request, tmp_path):
    """An opened broker over each store, with two pools."""
    with open_broker(BrokerUrl(STORES[request.param](tmp_path)), create=True) as broker:
        yield with_pools(broker, tmp_path)


@pytest.fixture
def broker(broker, tmp_path):
    return with_pools(broker, tmp_path)


@pytest.fixture
def held(broker):
    """Return a function that plans a move of ``orders`` for a process, and lets it make steps up to a phase."""

    def plan(holder, phase=PLANNED, *, copies=True):
        queue_moves = broker.store.catalog.moves
        found = queue_moves.plan("orders", broker.project, "new", copies=copies, holder=holder)
        while found.move.phase != phase:
            found = queue_moves.step("orders", broker.project, found)

    return plan


def texts(page):
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text)))


def buttons(client, path):
    return {button for form in forms(client.get(path).text, path) for button in form.buttons}


def keys(broker):
    page = next(broker.store.message_controller.list("orders", broker.project, limit=10, echo=True))
    return [message["key"] for message in page]


def phase_of(broker):
    return broker.store.catalog.moves.find("orders", broker.project).move.phase


@pytest.mark.parametrize("mode", ["copy", "drain"])
def test_a_queue_is_moved_from_its_page_by_the_server_itself(stored, browse_of, mode):
    post(stored, "orders", task("pay", "pay-late", delay=1000))
    client = browse_of(stored)

    told = texts(press(client, QUEUE, "Move", {"pool": "new", "mode": mode}))

    assert "Moving orders from default to new: its new messages go there." in told
    assert stored.store.catalog.pool_of("orders", stored.project) == "new"
    if mode == "drain":
        eventually(
            lambda: re.search(
                r"Moving from default to new \(drain, draining\).* 1 copied, 3 left", texts(client.get(QUEUE))
            )
        )
        claim, messages = stored.store.claim_controller.create("orders", {"ttl": 60, "grace": 0}, stored.project, 3)
        stored.store.message_controller.delete_claimed(
            "orders", [(one["id"], claim) for one in messages], stored.project
        )
    shown = eventually(lambda: re.search(r"over .* orders default new .*", texts(client.get("/moves"))))
    assert re.search(rf"orders default new {mode} {4 if mode == 'copy' else 1} 20\d\d-\S+ \S+ 20\d\d-", shown[0])
    assert "No queue is moving" in texts(client.get("/moves"))
    assert keys(stored) == (["pay-0", "pay-1", "pay-2"] if mode == "copy" else [])


def test_a_question_tells_what_moves_and_how(broker, browse):
    client = browse()
    form = next(form for form in forms(client.get(QUEUE).text, QUEUE) if "Move" in form.buttons)

    question = texts(client.post(form.action, data=form.fields))

    assert "Move orders with 3 messages from default to new?" in question
    assert "The messages are copied in order, and workers get nothing" in question
    assert broker.store.catalog.moves.find("orders", broker.project) is None


def test_a_move_is_shown_with_its_progress_and_its_process(broker, browse, held):
    held(new_owner_id(), COPYING)
    client = browse(read_only=True)

    shown = texts(client.get("/moves"))

    assert re.search(
        rf"orders default new copy copying 0 0 3 0 {re.escape(platform.node())} {os.getpid()} lives \d+s ago", shown
    )
    assert '<progress max="3" value="0"' in client.get("/moves").text
    assert "Moving from default to new (copy, copying)" in texts(client.get(QUEUE))


def test_what_the_old_pool_has_of_a_moving_queue_is_counted(stored, browse_of):
    store, project = stored[:2]
    store.claim_controller.create("orders", {"ttl": 60, "grace": 0, "holder": OTHER}, project, 1)
    found = store.catalog.moves.plan("orders", project, "new", copies=False, holder=OTHER)
    while found.move.phase == PLANNED:
        found = store.catalog.moves.step("orders", project, found)
    post(stored, "orders", task("pay", "pay-new"), task("pay", "pay-late", delay=1000))
    client = browse_of(stored, read_only=True)

    assert re.search(r"Ready 3 Delayed 1 Unacked 1 ", texts(client.get(QUEUE)))
    assert re.search(r"orders new 3 1 1 ", texts(client.get("/")))
    metrics = client.get("/metrics").text
    assert 'kombu_pool_queue_messages_ready{pool="new",queue="orders",vhost="/"} 3.0' in metrics
    assert 'kombu_pool_queue_move_messages_left{pool="default",queue="orders",vhost="/"} 3.0' in metrics
    assert 'kombu_pool_queue_move_messages_copied{pool="default",queue="orders",vhost="/"} 0.0' in metrics
    assert "pay pay-0" in texts(client.get(f"{QUEUE}&kind=unacked"))
    assert "pay pay-0 orders" in texts(client.get("/workers"))


def test_a_move_that_another_machine_has_is_taken_over(broker, browse, held):
    held(OTHER, COPYING)
    client = browse()

    assert "another machine 4711" in texts(client.get("/moves"))
    assert "The move of orders to new goes on." in texts(press(client, "/moves", "Take over"))
    eventually(lambda: "over Queue" in texts(client.get("/moves")))
    assert keys(broker) == ["pay-0", "pay-1", "pay-2"]


def test_a_move_is_ended_while_its_target_is_not_open(broker, browse, held):
    held(OTHER)
    client = browse()

    assert buttons(client, "/moves") == {"Take over", "End the move"}
    assert "has ended: it stays in default." in texts(press(client, QUEUE, "End the move"))
    assert "orders default" in texts(client.get("/"))
    held(OTHER, COPYING)
    client.app.state.site.shared.clear()
    assert buttons(client, "/moves") == {"Take over"}
    refused = client.post(
        "/queue/move/abort", data={**fields(client), "name": "orders", "pool": "new", "confirmed": "yes"}
    )
    assert refused.status_code == 409
    assert "is open in pool 'new' already" in texts(refused)


def fields(client):
    """Return the token that each form has."""
    return next(form for form in forms(client.get("/pools").text) if "form_token" in form.fields).fields


def test_a_move_survives_a_restart_of_the_server_and_a_closed_page(broker, browse_of, held):
    held(OTHER, COPYING)
    held_by = moves.start_move(broker.store, broker.project, "orders", "new")
    assert held_by.move.holder == ""

    client = browse_of(broker)
    assert "orders default new copy" in texts(client.get("/moves"))

    # No other request is made.
    eventually(lambda: phase_of(broker) == "moved")
    client.app.state.site.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "kombu_pool-moves"]


@pytest.mark.parametrize(
    ("given", "status", "told"),
    [
        ({"pool": "unknown"}, 404, "Pool 'unknown' does not exist"),
        ({"pool": "default"}, 409, "is in pool 'default' already"),
        ({"mode": "teleport"}, 400, "mode must be copy or drain, not 'teleport'"),
        ({"name": "unknown"}, 404, "Queue 'unknown' does not exist"),
        ({"name": "\x00\ud800"}, 404, "does not exist"),
    ],
)
def test_a_wrong_move_gets_an_answer_that_tells(broker, browse, given, status, told):
    client = browse()
    form = next(form for form in forms(client.get(QUEUE).text, QUEUE) if "Move" in form.buttons)
    sent = {**form.fields, "confirmed": "yes", **given}
    if "\ud800" in sent["name"]:
        sent = "&".join(f"{key}={value[0]}" for key, value in form.fields.items()).replace("name=orders", "name=%00%ff")

    refused = client.post(
        form.action,
        **(
            {"data": sent}
            if isinstance(sent, dict)
            else {"content": sent, "headers": {"content-type": "application/x-www-form-urlencoded"}}
        ),
    )

    assert refused.status_code == status
    assert told in texts(refused)
    assert broker.store.catalog.moves.find("orders", broker.project) is None


@pytest.mark.parametrize("field", ["name", "pool", "mode"])
def test_an_incomplete_move_is_refused(browse, field):
    client = browse()
    form = next(form for form in forms(client.get(QUEUE).text, QUEUE) if "Move" in form.buttons)

    refused = client.post(form.action, data={key: value for key, value in form.fields.items() if key != field})

    assert (refused.status_code, f"The field '{field}' is missing" in texts(refused)) == (400, True)


def test_an_exclusive_queue_does_not_move(broker, browse):
    expiry = Expiry(60.0, from_now=True, holder="h", holder_ttl=60.0)
    broker.store.queue_controller.create("replies", None, broker.project, expiry=expiry)
    path = "/queue?name=replies"

    refused = press(browse(), path, "Move", {"pool": "new"})

    assert refused.status_code == 409
    assert "exclusive" in texts(refused)


def test_a_move_to_a_pool_that_is_down_is_refused_with_its_reason(broker, browse):
    broker.store.control.pools_controller.create("lost", 0, "redis://127.0.0.1:1/0")
    client = browse()

    refused = press(client, QUEUE, "Move", {"pool": "lost"})

    assert refused.status_code == 503
    assert "lost" in texts(refused)
    assert broker.store.catalog.moves.find("orders", broker.project) is None


def test_a_queue_that_is_moving_has_no_second_move(broker, browse, held):
    client = browse()
    form = next(form for form in forms(client.get(QUEUE).text, QUEUE) if "Move" in form.buttons)
    held(OTHER, COPYING)

    refused = client.post(form.action, data={**form.fields, "confirmed": "yes"})

    assert (refused.status_code, "orders is moving already" in texts(refused)) == (409, True)
    assert "move orders failed: orders is moving already" in texts(client.get("/audit"))
    assert "Move" not in buttons(client, QUEUE)


def test_an_action_on_a_move_that_is_over_is_refused(browse):
    client = browse()
    for path in ("continue", "abort"):
        refused = client.post(f"/queue/move/{path}", data={**fields(client), "name": "orders", "pool": "new"})

        assert (refused.status_code, "orders is not moving to new" in texts(refused)) == (409, True)


def test_a_queue_that_was_declared_again_after_the_question_does_not_move(broker, browse):
    client = browse()
    form = next(form for form in forms(client.get(QUEUE).text, QUEUE) if "Move" in form.buttons)
    page = client.post(form.action, data=form.fields)
    question = next(form for form in forms(page.text, form.action) if "confirmed" in form.fields)
    broker.store.queue_controller.delete("orders", broker.project)
    broker.store.queue_controller.create("orders", None, broker.project)

    refused = client.post(question.action, data=question.fields)

    assert (refused.status_code, "declared again" in texts(refused)) == (409, True)


@pytest.mark.parametrize("mode", ["copy", "drain"])
def test_a_pool_is_drained(broker, browse, mode):
    store, project = broker[:2]
    for number in range(3):
        store.queue_controller.create(f"empty-{number}", None, project)
    expiry = Expiry(60.0, from_now=True, holder="h", holder_ttl=60.0)
    store.queue_controller.create("replies", None, project, expiry=expiry)
    store.control.pools_controller.update("new", weight=100)
    client = browse()

    told = texts(press(client, "/pools", "Drain", {"name": "default", "mode": mode}))

    assert "4 queues of default moving; it gets no new ones." in told
    assert ("replies stays" in told) == (store.catalog.pool_of("replies", project) == "default")
    assert {store.catalog.pool_of(queue, project) for queue in ("orders", "empty-0", "empty-2")} == {"new"}
    assert {row["name"]: row["weight"] for row in store.catalog.rows()}["default"] == 0
    if mode == "copy":
        eventually(lambda: "No queue is moving" in texts(client.get("/moves")))
        assert keys(broker) == ["pay-0", "pay-1", "pay-2"]


def test_a_pool_without_another_one_for_its_queues_is_not_drained(broker, browse):
    refused = press(browse(), "/pools", "Drain", {"name": "default"})

    assert (refused.status_code, "No other pool" in texts(refused)) == (409, True)
    assert broker.store.catalog.pool_of("orders", broker.project) == "default"


def test_a_drain_that_takes_too_long_tells_what_is_left(broker, browse, monkeypatch):
    monkeypatch.setattr(move_actions, "MAX_SECONDS", 0.0)
    broker.store.control.pools_controller.update("new", weight=100)

    told = texts(press(browse(), "/pools", "Drain", {"name": "default"}))

    assert "0 queues of default moving" in told
    assert re.search(r"The time was over: \d are left, drain it again", told)


def test_a_page_that_is_read_only_moves_nothing(broker, browse, held):
    held("", COPYING)
    client = browse(read_only=True)

    assert buttons(client, "/moves") | buttons(client, QUEUE) == {"Show"}
    assert client.post("/queue/move/continue", data={"name": "orders", "pool": "new"}).status_code == 403
    assert not [thread for thread in threading.enumerate() if thread.name == "kombu_pool-moves"]
    assert phase_of(broker) == COPYING
