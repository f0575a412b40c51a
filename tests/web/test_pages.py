"""What the pages show and do, without a script."""

from __future__ import annotations

import logging
import os
import platform
import re
import time
from html import unescape

import pytest

from kombu_pool.operator import queues, workers
from kombu_pool.operator.broker import BrokerUrl, open_broker
from kombu_pool.operator.processes import Processes, ProcessView
from kombu_pool.storage import DEAD_LETTER_QUEUE
from kombu_pool.storage.inspection import holder_tag
from kombu_pool.transport.processes import new_consumer_id, new_owner_id, process, process_of
from kombu_pool.web.pages.queues import PAGE_SIZE
from tests.cli.conftest import STORES
from tests.support.web.forms import forms, press
from tests.support.web.shop import post, task

#: The id of a consumer of another machine.
OTHER = "another machine:4711:9:00000000000000000000000000000000:1@1700000000@worker-7:tag-2"


@pytest.fixture(params=STORES)
def stored(request, tmp_path):
    """An opened broker over each store, with the queue ``orders``."""
    with open_broker(BrokerUrl(STORES[request.param](tmp_path)), create=True) as broker:
        broker.store.queue_controller.create("orders", {DEAD_LETTER_QUEUE: "dead"}, broker.project)
        broker.store.queue_controller.create("dead", None, broker.project)
        yield broker


def reject(broker, queue, number):
    store, project = broker[:2]
    claim, messages = store.claim_controller.create(queue, {"ttl": 60, "grace": 0}, project, number)
    store.message_controller.reject(queue, [(message["id"], claim) for message in messages], project)
    store.dead_letter_all()


def texts(page):
    """Return the texts of a page in one line."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text)))


def count(broker, queue):
    counts = broker.store.message_controller.count_many([(broker.project, queue)], 100)[0]
    return counts.free, counts.delayed, counts.claimed


def test_a_queue_is_looked_at_paused_and_purged(stored, browse_of):
    post(stored, "orders", task("pay", "pay-1"), task("pay", "pay-2", delay=100), task("mail", "mail-1"))
    client = browse_of(stored)

    assert "orders" in texts(client.get("/?q=ord"))
    assert "pay-1 pay" in texts(client.get("/queue?name=orders"))
    assert "pay-2 pay" in texts(client.get("/queue?name=orders&kind=delayed"))
    assert "State paused" in texts(press(client, "/queue?name=orders", "Pause"))
    assert "State running" in texts(press(client, "/queue?name=orders", "Resume"))
    assert "Deleted 1 message from orders." in texts(
        press(client, "/queue?name=orders", "Purge", {"task": "mail", "keep_delayed": "1"})
    )
    assert count(stored, "orders") == (1, 1, 0)
    assert "Deleted 2 messages" in texts(press(client, "/queue?name=orders", "Purge"))
    assert "Deleted orders." in texts(press(client, "/queue?name=orders", "Delete the queue"))
    assert client.get("/queue?name=orders").status_code == 404


def test_tasks_are_found_cancelled_and_rescheduled(stored, browse_of):
    post(stored, "orders", *(task("shop.pay", f"pay-{number}", delay=1000) for number in range(4)), task("mail", "m"))
    client = browse_of(stored)
    boxes = forms(client.get("/tasks?name=shop.*").text)[-1].boxes["task"]

    assert "shop.pay orders 0 4" in texts(client.get("/tasks"))
    assert "pay-2 shop.pay orders delayed" in texts(client.get("/tasks?id=pay-2"))
    assert "No task with this id waits" in texts(client.get("/tasks?id=unknown"))
    assert "Made ready 1 task." in texts(press(client, "/tasks?name=shop.*", "Run now", {"task": boxes[0]}))
    assert count(stored, "orders") == (2, 3, 0)
    assert "Cancelled 1 task." in texts(press(client, "/tasks?name=shop.*", "Cancel", {"task": boxes[1]}))
    assert "Changed 3 tasks." in texts(
        press(client, "/tasks?name=shop.*", "Reschedule", {"scope": "all", "in": "2h", "priority": "7"})
    )
    (found,) = stored.store.message_controller.find("pay-3", None, stored.project).messages
    assert (found["state"], found["priority"]) == ("delayed", 7)
    assert found["due"] is None or 7100 < found["due"] - time.time() < 7300
    assert "Cancelled 3 tasks." in texts(press(client, "/tasks?name=shop.*", "Cancel", {"scope": "all"}))
    assert count(stored, "orders") == (1, 0, 0)


def test_dead_letters_are_redriven_and_deleted(stored, browse_of):
    post(stored, "orders", *(task("pay", f"pay-{number}") for number in range(5)))
    reject(stored, "orders", 4)
    client = browse_of(stored)
    boxes = forms(client.get("/dead?name=dead").text)[-1].boxes["message"]

    assert "dead 4 orders rejected" in texts(client.get("/dead"))
    assert "pay-0 pay orders rejected 1" in texts(client.get("/dead?name=dead"))
    assert "no such dead letter" in texts(client.get("/dead?name=dead&reason=expired"))
    assert "Moved 1 to orders." in texts(press(client, "/dead?name=dead", "Redrive", {"message": boxes[0]}))
    assert "Deleted 1 dead letter in dead." in texts(press(client, "/dead?name=dead", "Delete", {"message": boxes[1]}))
    chosen = {"scope": "all"}
    assert "Moved 2 to orders." in texts(
        press(client, "/dead?name=dead&reason=rejected&origin=orders", "Redrive", chosen)
    )
    assert (count(stored, "orders")[0], count(stored, "dead")[0]) == (4, 0)


def test_workers_and_what_they_hold_are_shown(stored, browse_of):
    store, project = stored[:2]
    post(stored, "orders", task("pay", "pay-1"), task("pay", "pay-2"), task("pay", "pay-3"))
    holder = new_consumer_id(new_owner_id(), 1, "tag-1")
    store.control.consumers_controller.add_holder("orders", holder, 60, project)
    store.control.consumers_controller.add_holder("orders", OTHER, 60, project)
    for name in (process(), process_of(OTHER)):
        store.claim_controller.create("orders", {"ttl": 60, "grace": 0, "holder": name}, project, 1)
    client = browse_of(stored)

    shown = texts(client.get("/workers"))
    queue = texts(client.get("/queue?name=orders&kind=unacked"))

    ours = f"{platform.node()} {os.getpid()}"
    assert re.search(rf"{re.escape(ours)} \d+s ago 1 orders", shown)
    assert re.search(r"worker-7 4711 \S+ ago 1 orders", shown)
    for page, where in ((shown, " orders"), (queue, "")):
        assert re.search(rf"{re.escape(ours)} pay pay-1{where} \d+s 1 \d+s ago in (5\ds|1m00s)", page)
        assert re.search(rf"worker-7 4711 pay pay-2{where} \d+s 1 \d+s ago in (5\ds|1m00s)", page)
        assert "pay-3" not in page
    assert "tag-1" in queue
    assert "pay-1" not in texts(client.get("/queue?name=orders&kind=unacked&task=mail"))


def test_a_message_whose_claim_has_ended_is_held_by_no_worker(stored, browse_of):
    store, project = stored[:2]
    post(stored, "orders", task("pay", "pay-1"), task("pay", "pay-2"))
    store.claim_controller.create("orders", {"ttl": 0, "grace": 0}, project, 1)
    store.claim_controller.create("orders", {"ttl": 60, "grace": 0}, project, 1)

    held = workers.list_held(store, project, queues.list_queues(store, project).queues).held

    assert [(row.worker, row.queue) for row in held] == [(None, "orders")]


def test_a_process_that_holds_messages_and_does_not_consume_is_a_worker():
    name = process_of(OTHER)
    held = Processes([OTHER, f"another machine:4712:9:{'0' * 32}:process"])
    worker = held.find(holder_tag("another machine:4712:9"))
    row = workers.HeldRow("pay-1", "pay", "orders", 1, 1, "claim", 1, 59.0, worker)

    found = workers.with_held([workers.WorkerRow("worker-7", 4711, 1.0, dead=False)], [row, row])

    assert [(worker.host, worker.pid, worker.held) for worker in found] == [
        ("worker-7", 4711, 0),
        ("worker-7", 4712, 2),
    ]
    assert held.find(holder_tag(name)) == ProcessView("worker-7", 4711)
    assert held.find(None) is held.find(holder_tag("unknown")) is None


def test_the_weight_of_a_pool_is_changed(broker, browse):
    client = browse()

    shown = texts(press(client, "/pools", "Set", {"weight": "7"}))
    refused = press(client, "/pools", "Set", {"weight": "-1"})

    assert "is 7 now" in shown
    assert broker.store.catalog.rows()[0]["weight"] == 7
    assert refused.status_code == 400
    assert "weight must be a whole number" in texts(refused)


def test_each_action_is_in_the_log_and_on_the_page(browse, caplog):
    client = browse()

    with caplog.at_level(logging.INFO, "kombu_pool.audit"):
        press(client, "/queue?name=orders", "Pause")
        press(client, "/pools", "Set", {"weight": "7"})

    assert [record.getMessage() for record in caplog.records if record.name == "kombu_pool.audit"] == [
        "pause 'orders': 'Paused orders.', by 'local' from 127.0.0.1",
        "change weight 'default': 'The weight of default is 7 now.', by 'local' from 127.0.0.1",
    ]
    assert "local 127.0.0.1 pause orders Paused orders." in texts(client.get("/audit"))


def test_an_action_that_fails_is_recorded_with_its_reason(broker, browse):
    client = browse()
    page = client.get("/queue?name=orders").text
    broker.store.queue_controller.delete("orders", broker.project)

    form = next(form for form in forms(page) if "Pause" in form.buttons)
    refused = client.post(form.action, data=form.fields)

    assert refused.status_code == 404
    assert "pause orders failed: Queue 'orders' does not exist" in texts(client.get("/audit"))


def test_what_was_done_is_said_only_after_an_action(browse):
    assert "All is well" not in browse().get("/?done=All+is+well&seal=1234567890abcdef").text


def test_queues_are_sorted_filtered_and_paged(broker, browse):
    store, project = broker[:2]
    for number in range(PAGE_SIZE + 5):
        store.queue_controller.create(f"q{number:03}", None, project)
    post(broker, "q007", *(task("pay", str(number)) for number in range(3)))
    client = browse()

    def names(query):
        return re.findall(r'<tr data-key="([^"]+)"', client.get(f"/?{query}").text)

    assert names("sort=ready")[0] == "q007"
    assert names("q=q00*") == [f"q00{number}" for number in range(10)]
    assert names("page=2")[-1] == f"q{PAGE_SIZE + 4:03}"
    assert len(names("page=1")) == PAGE_SIZE
    assert names("page=99") == names("pool=unknown") == []
    assert names("sort=nonsense&page=-1")[0] == "orders"


def test_celerys_own_queues_are_behind_a_switch(broker, browse):
    broker.store.queue_controller.create("celery@host.celery.pidbox", None, broker.project)
    client = browse()

    assert "pidbox" not in client.get("/").text
    assert "pidbox" in client.get("/?all=1").text
    assert re.search(r"[1-3] of Celery's own hidden", texts(client.get("/")))


def test_prometheus_gets_the_metrics_of_the_queues(browse):
    assert (
        'kombu_pool_queue_messages_ready{pool="default",queue="orders",vhost="/"} 0.0' in browse().get("/metrics").text
    )


def test_an_application_below_another_path_links_to_itself(broker, browse):
    from starlette.applications import Starlette  # noqa: PLC0415
    from starlette.routing import Mount  # noqa: PLC0415
    from starlette.testclient import TestClient  # noqa: PLC0415

    app = browse().app
    outer = Starlette(routes=[Mount("/ops/pool", app)])
    client = TestClient(
        outer, "http://127.0.0.1", client=("127.0.0.1", 1), root_path="/proxied", follow_redirects=False
    )

    page = client.get("/proxied/ops/pool/queue?name=orders", headers={"accept": "text/html"})
    links = re.findall(r'(?:href|action|src|data-events)="([^"#]+)"', page.text)

    assert page.status_code == 200
    assert len(links) > 10
    assert [link for link in links if not link.startswith("/proxied/ops/pool/")] == []
