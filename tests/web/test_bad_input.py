"""What the page does when something is wrong: a pool, a store, a body, a request."""

from __future__ import annotations

import sqlite3
import threading
import time
import tracemalloc
from contextlib import closing
from itertools import pairwise

import pytest
from click.testing import CliRunner

from kombu_pool.cli import main
from kombu_pool.operator import queues
from kombu_pool.operator.broker import BrokerUrl, open_broker
from kombu_pool.storage.inspection import MAX_COUNTED
from tests.support.limits import best_of
from tests.support.web.forms import press
from tests.support.web.shop import CONTROL, post, task


def test_a_pool_that_is_down_says_so_beside_the_others(tmp_path, browse_of, monkeypatch):
    monkeypatch.setattr(queues, "POOL_TIMEOUT", 0.5)
    url = f"pool+sqlite:///{tmp_path}/control.db"
    pools = [{"name": name, "uri": f"sqlite:///{tmp_path}/{name}.db"} for name in ("lost", "whole")]
    with open_broker(BrokerUrl(url, {"pools": pools}), create=True) as broker:
        for number in range(12):
            broker.store.queue_controller.create(f"q{number}", None, broker.project)
    for file in tmp_path.glob("lost.db*"):
        file.unlink()
    (tmp_path / "lost.db").mkdir()
    with open_broker(BrokerUrl(url)) as broker:
        client = browse_of(broker)
        client.get("/")
        pages = {path: client.get(path) for path in ("/", "/pools", "/workers", "/dead", "/tasks")}
        names = {row["name"]: row["pool"] for row in _assigned(broker)}
        lost = next(name for name, pool in names.items() if pool == "lost")

        assert {path: page.status_code for path, page in pages.items()} == dict.fromkeys(pages, 200)
        assert "pool down" in pages["/"].text
        assert all("lost" in pages[path].text for path in pages)
        assert "pool down" in client.get(f"/queue?name={lost}").text
        assert best_of(lambda: _seconds(client, "/"), 1.0) < 1.0


def _assigned(broker):
    entries = broker.store.control.catalogue_controller.list(broker.project)
    return [{"name": entry["queue"], "pool": entry["pool"]} for entry in entries]


def _seconds(client, path):
    begun = time.perf_counter()
    assert client.get(path).status_code == 200
    return time.perf_counter() - begun


def test_a_broker_that_does_not_exist_is_told_and_not_made(tmp_path, browse_of):
    client = browse_of(f"pool+sqlite:///{tmp_path}/none.db")

    page = client.get("/")

    assert page.status_code == 400
    assert "does not exist" in page.text
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_another_layout_is_told(tmp_path, browse_of):
    url = f"pool+sqlite:///{tmp_path}/control.db"
    with open_broker(BrokerUrl(url), create=True):
        pass
    with closing(sqlite3.connect(tmp_path / "control.db")) as store:
        store.execute("PRAGMA user_version = 99")
        store.commit()

    page = browse_of(url).get("/")
    done = CliRunner().invoke(main, ["-b", url, "web"])

    assert page.status_code == 503
    assert "99" in page.text
    assert done.exit_code == 1
    assert "99" in done.output


def test_passwords_are_masked(browse_of):
    client = browse_of("pool+redis://user:secret@127.0.0.1:1/0")

    assert client.get("/").status_code >= 400
    assert "secret" not in client.get("/").text


def test_a_broker_that_is_no_pool_is_refused(browse_of):
    assert "is not a pool:// broker" in browse_of("memory://").get("/").text


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", "\x1b[2J<b>", {"a": ["\u202e"]}, None, 7])
def test_a_body_of_any_kind_is_shown_readable(broker, browse, body):
    post(broker, "orders", {"ttl": None, "body": body}, task(CONTROL, "odd"))

    page = browse(show_bodies=True).get("/queue?name=orders")

    assert page.status_code == 200
    assert not any(one in page.text for one in ("\x1b", "\x00", "\u202e", "<b>"))


def test_bodies_are_hidden_unless_they_are_asked_for(broker, browse):
    post(broker, "orders", {"ttl": None, "body": "a secret"})

    assert "a secret" not in browse().get("/queue?name=orders").text
    assert "a secret" in browse(show_bodies=True).get("/queue?name=orders").text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/queue", 400), ("/queue?name=unknown", 404), ("/dead?name=unknown", 404), ("/tasks?older=soon", 400),
        ("/?page=9999999999999&sort=x", 200), ("/tasks?state=x", 400), ("/tasks?name=[", 200),
        ("/dead?name=orders&reason=x", 400),
        ("/queue?name=orders&kind=x&limit=-1", 200),
        ("/unknown", 404), ("/queue?name=%00%ff", 404),
    ],
)  # fmt: skip
def test_a_wrong_query_gets_an_answer_that_tells(browse, path, status):
    page = browse().get(path)

    assert page.status_code == status
    assert "<h1>" in page.text


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "Nothing chosen"),
        ({"task": "orders:pay", "in": "5m", "at": "2030-01-01T00:00"}, "two times"),
        ({"task": "orders:pay", "in": "soon"}, "is no duration"),
        ({"task": "orders:pay", "at": "soon"}, "is no time"),
        ({"task": "orders:pay", "priority": "256"}, "from 0 to 255"),
        ({"task": "orders:pay", "priority": "1" * 5000}, "from 0 to 255"),
        ({"task": "orders", "priority": "1"}, "is not a queue and the id of a task"),
        ({"scope": "all", "state": "redy", "in": "5m"}, "state must be ready or delayed"),
        ({"scope": "all", "name": "", "in": "5m"}, "Only the tasks of a name"),
        ({"scope": "all", "id": "pay", "in": "5m"}, "Only the tasks of a name"),
        ({"task": "orders:pay"}, "Nothing to change"),
    ],
)
def test_a_wrong_form_gets_an_answer_that_tells(broker, browse, given, told):
    post(broker, "orders", task("pay", "pay"))
    button = "Reschedule" if given else "Cancel"

    assert told in press(browse(), "/tasks?name=pay", button, given).text


def test_a_long_queue_is_not_scanned(tmp_path, browse_of):
    with open_broker(BrokerUrl(f"pool+sqlite:///{tmp_path}/control.db"), create=True) as broker:
        broker.store.queue_controller.create("orders", None, broker.project)
        for _ in range(MAX_COUNTED // 10_000 + 1):
            post(broker, "orders", *({"ttl": None, "body": 1} for _ in range(10_000)))
        client = browse_of(broker)
        client.get("/")

        for path in ("/", "/queue?name=orders", "/tasks", "/tasks?name=pay", "/dead", "/dead?name=orders", "/workers"):
            assert best_of(lambda path=path: _seconds(client, path), 2.0) < 2.0


def test_page_loads_leave_no_memory_behind(broker, browse, untraced, caplog):
    # Captured log records are memory, too.
    caplog.set_level("CRITICAL")
    caplog.set_level("CRITICAL", "kombu_pool")
    caplog.set_level("CRITICAL", "httpx")
    client = browse()
    paths = ("/", "/queue?name=orders", "/tasks", "/pools", "/moves", "/workers", "/audit", "/dead")

    def load(times):
        for _ in range(times):
            for path in paths:
                client.get(path)

    load(5)
    tracemalloc.start()
    try:
        load(3)
        sizes = [tracemalloc.get_traced_memory()[0]]
        for _ in range(4):
            load(6)
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()

    # What loads leave behind grows each time; caches and the history of samples do not.
    assert min(after - before for before, after in pairwise(sizes)) < 100_000


def test_a_page_that_is_closed_starts_nothing_until_its_next_life(broker, browse):
    client = browse()
    assert client.get("/").status_code == 200

    client.app.state.site.close()
    late = client.get("/")

    assert late.status_code == 503
    assert "closed" in late.text
    assert not [thread for thread in threading.enumerate() if thread.name == "kombu_pool sampler"]
    with client:
        assert client.get("/").status_code == 200
