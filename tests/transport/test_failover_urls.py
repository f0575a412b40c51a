"""Failover: the URL in use is the whole truth, whatever transport the first one is of."""

from __future__ import annotations

import pickle

import pytest
from kombu import Connection
from kombu.utils.collections import eqhash

from kombu_pool import errors

POOLS = [
    "pool+redis://b/0",
    "pool+redis://b",
    "pool+redis://us%40er:p%2Fw@b:7",
    "pool+rediss://:p%2Fw@b:7/2",
    "pool+mongodb://b/shop",
    "pool+sqlite:////x/y.db",
    "pool+memory://b",
    "pool://",
    "pool:///shop",
]
FIRST = ["redis://h:6499/5", "amqp://guest:secret@h:5672//", "amqp://h:5672/vhost", "rediss://h?ssl_cert_reqs=none"]
#: A transport of Kombu's that needs no client library.
OTHER = "memory://h:6499/5"


def switched(urls, times=1):
    connection = Connection(urls)
    for _ in range(times):
        assert connection.transport
        connection.maybe_switch_next()
    assert connection.transport
    return connection


def uri_of(connection):
    return connection.as_uri(include_password=True)


def copies(connection):
    return connection, connection.clone(), connection.Pool(1).new(), pickle.loads(pickle.dumps(connection))  # noqa: S301


@pytest.mark.parametrize("url", POOLS)
@pytest.mark.parametrize("first", FIRST)
def test_nothing_of_another_transports_url_is_handed_on(first, url):
    connection = switched(f"{first};{url}")

    assert uri_of(connection) == uri_of(Connection(url))
    assert connection.port == (7 if ":7" in url else None)
    assert connection.ssl is False
    assert (connection.userid, connection.password, connection.virtual_host) == (None, None, "/")


@pytest.mark.parametrize("url", POOLS)
@pytest.mark.parametrize("first", ["pool+redis://u:p@h:6499/5", "pool:///first", OTHER])
def test_copies_of_a_connection_that_was_switched_lead_to_the_same_store(first, url):
    connection = switched(f"{first};{url}")

    for copy in copies(connection):
        assert uri_of(copy) == uri_of(Connection(url))
        assert eqhash(copy) == eqhash(connection)
        assert copy.transport_cls == url.partition("://")[0]
        assert copy.alt == connection.alt


def test_the_connection_has_the_host_and_the_port_of_the_url_in_use():
    connection = switched("pool+redis://a:6499/5;pool+redis://b:6500/0")

    assert connection.hostname == "pool+redis://b:6500/0"
    assert connection.port == 6500
    assert connection.transport_cls == "pool+redis"


def test_nothing_of_ours_is_handed_on_to_another_transport():
    connection = switched("pool+redis://u:p@a:6499/5;memory://")

    assert (connection.port, connection.virtual_host, connection.userid) == (None, "/", None)
    assert connection.transport_cls == "memory"


@pytest.mark.parametrize("url", ["pool+redis://c:8/1?socket_timeout=7", "pool+mongodb://c,d/x?w=2", "pool:///shop?x=1"])
@pytest.mark.parametrize("urls", [f"{OTHER};pool+redis://b/0;", f"pool+redis://b/0;{OTHER};"])
def test_a_list_of_several_transports_leads_round(urls, url):
    connection = switched(urls + url, 2)

    assert uri_of(connection) == uri_of(Connection(url))
    for _ in range(3):
        connection.maybe_switch_next()
        assert connection.transport
    assert uri_of(connection) == uri_of(Connection(url))


def test_of_two_urls_that_differ_in_the_port_the_one_in_use_is_found():
    urls = f"{OTHER};pool+redis://b:6499/1;pool+redis://b"

    assert [uri_of(switched(urls, times)) for times in (1, 2)] == ["pool+redis://b:6499/1", "pool+redis://b"]


def test_a_query_that_kombu_cannot_switch_to_is_refused_with_the_form_without():
    connection = Connection("pool+memory://a;redis://:hunter2@h/0?socket_timeout=5")

    with pytest.raises(errors.ConfigurationError, match=r"cannot fail over.*write redis://:\*\*@h/0") as caught:
        connection.connect()

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("alternate", ["pool+memory://b?max_message_size=9", "rediss://h?ssl_cert_reqs=none"])
def test_a_query_that_can_be_switched_to_is_accepted(alternate):
    with Connection(f"pool+memory://a;{alternate}") as connection:
        assert connection.connect()
