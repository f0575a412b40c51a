"""The pages over a pool that has stopped answering, and over more than can be read in time."""

from __future__ import annotations

import time

import pytest

from kombu_pool.operator import queues, workers
from kombu_pool.operator.broker import BrokerUrl, open_broker
from kombu_pool.web import control_gate
from kombu_pool.web.pages import dead_letters, queue, tasks
from tests.support.limits import LIMIT
from tests.support.servers.redis_server import Server
from tests.support.web.forms import press
from tests.support.web.shop import post, task


def test_each_page_is_there_within_two_seconds_while_a_pool_is_frozen(tmp_path, browse_of, monkeypatch):
    monkeypatch.setattr(queues, "POOL_TIMEOUT", 0.5)
    with Server() as server:
        settings = {"pools": [{"name": "frozen", "uri": server.uri()}]}
        with open_broker(BrokerUrl(f"pool+sqlite:///{tmp_path}/control.db", settings), create=True) as broker:
            broker.store.queue_controller.create("orders", None, broker.project)
            post(broker, "orders", task("pay", "pay-1"))
            client = browse_of(broker, every=60.0)
            assert client.get("/queue?name=orders").status_code == 200
            server.pause()
            try:
                passed = {path: _seconds(client, path) for path in _PATHS}
            finally:
                server.resume()

    assert {path: seconds for path, seconds in passed.items() if seconds >= 2.0} == {}


def test_each_page_is_there_within_two_seconds_while_the_control_store_is_frozen(browse_of, monkeypatch):
    monkeypatch.setattr(queues, "POOL_TIMEOUT", 0.5)
    monkeypatch.setattr(control_gate, "TIMEOUT", 0.5)
    monkeypatch.setattr(control_gate, "TTL", 0.0)
    with Server() as server, open_broker(BrokerUrl(f"pool+{server.uri()}"), create=True) as broker:
        broker.store.queue_controller.create("orders", None, broker.project)
        post(broker, "orders", task("pay", "pay-1"))
        client, late = browse_of(broker, every=60.0), browse_of(f"pool+{server.uri()}")
        assert {client.get(path).status_code for path in _PATHS} == {200}
        server.pause()
        try:
            passed = {path: _seconds(client, path) for path in (*_PATHS, "/api/queues")}
            passed |= {f"late {path}": _seconds(late, path) for path in _PATHS}
            known = {
                path: client.get(path)
                for path in ("/", "/queue?name=orders", "/pools", "/moves", "/workers", "/tasks", "/audit")
            }
        finally:
            server.resume()
        ends = time.monotonic() + LIMIT
        while (is_down := _OUTAGE in client.get("/queue?name=orders").text) and time.monotonic() < ends:
            time.sleep(0.05)

    assert {path: seconds for path, seconds in passed.items() if seconds >= 2.0} == {}
    assert {path: page.status_code for path, page in known.items()} == dict.fromkeys(known, 200)
    assert [path for path, page in known.items() if _OUTAGE not in page.text] == []
    assert [path for path in ("/", "/queue?name=orders", "/tasks") if "orders" not in known[path].text] == []
    assert not is_down


_OUTAGE = "control store has not answered"
_PATHS = (
    "/", "/queue?name=orders", "/queue?name=orders&kind=delayed", "/dead", "/dead?name=orders", "/tasks",
    "/tasks?name=pay", "/tasks?id=pay-1", "/tasks?id=pay-1&queue=orders", "/pools", "/moves", "/workers", "/audit",
    "/healthz",
)  # fmt: skip


def _seconds(client, path):
    begun = time.perf_counter()
    assert client.get(path).status_code in (200, 503)
    return time.perf_counter() - begun


def test_a_search_says_which_queues_it_had_no_time_for(broker, browse, monkeypatch):
    post(broker, "orders", task("pay", "pay-1"))
    monkeypatch.setattr(tasks, "READ_SECONDS", 0.0)
    client = browse()

    for path in ("/tasks", "/tasks?name=pay"):
        assert "1 queue was not read in time" in client.get(path).text


@pytest.mark.parametrize(("name", "left"), [("pay", 200), ("mail", 300)])
def test_a_purge_ends_after_its_time(broker, browse, monkeypatch, name, left):
    post(broker, "orders", *(task("pay", f"pay-{number}") for number in range(300)))
    monkeypatch.setattr(queue, "MAX_SECONDS", 0.0)

    said = press(browse(), "/queue?name=orders", "Purge", {"task": name}).text

    assert "there may be more" in said
    assert broker.store.message_controller.count("orders", broker.project) == left


def test_the_page_of_workers_says_which_queues_it_had_no_time_for(broker, browse, monkeypatch):
    monkeypatch.setattr(workers, "MAX_SECONDS", 0.0)
    post(broker, "orders", task("pay", "pay-1"))
    broker.store.claim_controller.create("orders", {"ttl": 60, "grace": 0}, broker.project, 1)

    assert "1 queue was not read in time" in browse().get("/workers").text


def test_a_list_of_queues_with_dead_letters_is_bounded(broker, browse, monkeypatch):
    monkeypatch.setattr(dead_letters, "SHOWN", 1)
    store, project = broker[:2]
    for name in ("dead-1", "dead-2", "empty"):
        store.queue_controller.create(name, None, project)
    for number in (1, 2):
        source = f"source-{number}"
        store.queue_controller.create(source, {"_dead_letter_queue": f"dead-{number}"}, project)
        post(broker, source, task("pay", "pay-1"))
        claim, (message,) = store.claim_controller.create(source, {"ttl": 60, "grace": 0}, project, 1)
        store.message_controller.reject(source, [(message["id"], claim)], project)
    store.dead_letter_all()

    page = browse().get("/dead").text

    assert "The first 1 of 2 queues." in page
    assert page.count("<tr data-key") == 1
