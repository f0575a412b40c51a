"""An unreachable store is noticed on connecting, not on the first use."""

from __future__ import annotations

import threading

import pytest
from kombu import Connection
from kombu.exceptions import OperationalError

from kombu_pool import errors
from kombu_pool.transport import broker as brokers
from tests.support.servers.redis_cluster import Cluster
from tests.support.servers.redis_server import Server

#: One attempt to connect: Kombu would retry without end.
ONCE = {"max_retries": 0}


@pytest.fixture(scope="module", params=[Server, Cluster])
def server(request):
    with request.param() as server:
        yield server


@pytest.fixture
def url(server):
    """A URL with a short connection timeout."""
    uri = server.uri()
    return f"pool+{uri}?socket_timeout=1&socket_connect_timeout=1"


@pytest.fixture
def nodes(server):
    return getattr(server, "nodes", [server])


@pytest.fixture
def outage(nodes):
    """Stop the store from answering."""
    for node in nodes:
        node.pause()
    yield
    for node in nodes:
        node.resume()


def commands(nodes):
    """Return how many commands the store received, without this one."""
    skipped = ("cmdstat_info", "cmdstat_ping")
    return sum(
        stat["calls"]
        for node in nodes
        for name, stat in node.ask("INFO", "commandstats").items()
        if name not in skipped
    )


@pytest.mark.usefixtures("outage")
def test_a_store_that_does_not_answer_is_missed_at_once(url):
    with pytest.raises(errors.ConnectionError):
        Connection(url).ensure_connection(**ONCE, reraise_as_library_errors=False)


@pytest.mark.usefixtures("outage")
def test_kombu_takes_it_for_an_error_of_the_connection(url):
    with pytest.raises(OperationalError):
        Connection(url).ensure_connection(**ONCE)


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
def test_a_store_that_is_not_there_is_missed_at_once(scheme):
    with pytest.raises(errors.ConnectionError, match=r"127\.0\.0\.1:1"):
        Connection(f"pool+{scheme}://127.0.0.1:1").ensure_connection(**ONCE, reraise_as_library_errors=False)


@pytest.mark.usefixtures("outage")
def test_nothing_is_left_of_a_connection_that_failed(url, monkeypatch):
    closed, before = [], set(threading.enumerate())
    close = brokers.Broker.close
    monkeypatch.setattr(brokers.Broker, "close", lambda broker: (closed.append(broker), close(broker)))

    with pytest.raises(OperationalError):
        Connection(url).ensure_connection(**ONCE)

    assert len(closed) == 1
    assert set(threading.enumerate()) <= before


def test_a_connection_that_failed_succeeds_later(url, nodes):
    connection = Connection(url)
    for node in nodes:
        node.pause()
    with pytest.raises(OperationalError):
        connection.ensure_connection(**ONCE)

    for node in nodes:
        node.resume()

    with connection:
        connection.ensure_connection(max_retries=10, interval_start=0.1)
        assert connection.channel().queue_declare("q").queue == "q"


def test_a_connection_asks_its_store_one_question(url, nodes):
    with Connection(url) as first, Connection(url) as second:
        first.connect()
        before = commands(nodes)

        second.connect()

        assert commands(nodes) == before + 1
