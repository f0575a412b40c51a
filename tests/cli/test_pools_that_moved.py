"""``celery pool set NAME --uri`` for a pool whose hosts are gone."""

from __future__ import annotations

import json
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from kombu import Producer, Queue

from tests.support.servers import mongodb
from tests.support.servers.proxy import Proxy
from tests.support.servers.redis_shared import fresh_uri
from tests.support.transport.traffic import consume


class Moving(NamedTuple):
    """The URI of a store, its URI after it moved, that of another store, and what moves it."""

    uri: str
    next_uri: str
    other_uri: str
    move: object


def _sqlite(folder):
    (folder / "old").mkdir()
    uris = [f"sqlite:///{folder}/{name}.db" for name in ("old/main", "new/main", "other")]
    return Moving(*uris, lambda: (folder / "old").rename(folder / "new"))


def _behind_a_proxy(uri, other):
    server = urlsplit(uri)
    proxy = Proxy(server.port)
    return Moving(uri.replace(server.netloc, f"127.0.0.1:{proxy.port}"), uri, other, proxy.__exit__)


def _redis(folder):
    return _behind_a_proxy(fresh_uri(), fresh_uri())


def _mongodb(folder):
    uris = [f"{mongodb.fresh_standalone_uri()}?directConnection=true" for _ in range(2)]
    return _behind_a_proxy(*uris)


@pytest.fixture(params=[_sqlite, _redis, _mongodb], ids=lambda make: make.__name__.strip("_"))
def moving(request, tmp_path):
    return request.param(tmp_path)


@pytest.fixture
def moved(app, pool, moving):
    """The pool ``main`` with a message in its queue ``q``, and the pool ``empty``; the hosts of ``main`` are gone."""
    assert pool("add", "main", moving.uri)[0] == 0
    with app.connection_for_write() as connection:
        Queue("q")(connection.default_channel).declare()
        Producer(connection.default_channel).publish("kept", routing_key="q")
    moving.move()
    return moving


def test_a_pool_gets_the_uri_to_which_its_store_moved(moved, app, pool):
    assert pool("set", "main", "--uri", moved.next_uri) == (0, [["Changed main."]])

    with app.connection_for_write() as connection:
        assert consume(connection.default_channel, "q").wait_for(1)[0].payload == "kept"


def test_a_pool_whose_store_cannot_be_compared_gets_another_uri_by_force(moved, pool):
    status, lines = pool("set", "main", "--uri", moved.other_uri)

    assert status == 1
    for text in ("has 1 queue(s)", "cannot be compared", f"celery pool set main --uri {moved.other_uri} --force"):
        assert text in " ".join(line[0] for line in lines)
    assert pool("set", "main", "--uri", moved.other_uri, "--force") == (0, [["Changed main."]])
    assert pool("ls")[1][-1][-1] == moved.other_uri


def test_settings_with_the_uri_to_which_a_store_moved_stop_no_connection(moved, app):
    app.conf.broker_transport_options = {"pools": [{"name": "main", "uri": moved.next_uri}]}

    with app.connection_for_write() as connection:
        connection.connect()


def test_a_pool_without_queues_whose_hosts_are_gone_gets_any_uri(moving, pool):
    assert pool("add", "main", moving.uri)[0] == 0
    moving.move()

    assert pool("set", "main", "--uri", moving.other_uri) == (0, [["Changed main."]])


@pytest.mark.parametrize(
    ("fresh", "option", "default"),
    [(fresh_uri, "key_prefix", "kombu-pool"), (mongodb.fresh_uri, "collection_prefix", "kombu_pool_")],
    ids=["redis", "mongodb"],
)
def test_options_lead_a_pool_with_queues_to_another_store_only_by_force(app, pool, fresh, option, default):
    assert pool("add", "main", fresh())[0] == 0
    changed = ("set", "main", "--options", json.dumps({option: "other"}))
    same = ("set", "main", "--options", json.dumps({option: default}))
    with app.connection_for_write() as connection:
        Queue("q")(connection.default_channel).declare()

    status, lines = pool(*changed)

    assert (status, "'main'" in lines[0][0]) == (1, True)
    assert pool(*same) == (0, [["Changed main."]])
    assert pool(*changed, "--force") == (0, [["Changed main."]])


def test_force_without_what_it_forces_is_a_wrong_usage(app, pool, tmp_path):
    assert pool("add", "main", f"sqlite:///{tmp_path}/main.db")[0] == 0

    assert pool("set", "main", "--weight", "1", "--force")[0] == 2
