"""Passwords open stores, and are shown nowhere."""

from __future__ import annotations

import copy
import json
import pickle
from urllib.parse import quote

import pytest
from kombu import Connection
from kombu.pools import connections
from kombu.utils.collections import eqhash

from kombu_pool import errors
from tests.support.servers.redis_quoted_password import QuotedPasswordServer
from tests.support.transport.traffic import declare, publish, take_all

URL = "pool+redis://user:hunter2@host:1/0?sentinel_password=hunter3"
OPTIONS = {
    "claim_ttl": 30,
    "pools": [
        {"name": "a", "uri": "redis://:hunter4@host/1"},
        {"name": "b", "uri": "redis://host/2", "options": {"sentinel_password": "hunter5"}},
    ],
    "flavors": ("hot", "cold"),
}
ALTERNATE = "pool+redis+sentinel://:hunter6@one:1,two:2/master"


@pytest.fixture(scope="module")
def server():
    with QuotedPasswordServer() as server:
        yield server


@pytest.fixture
def url(server):
    return f"pool+{server.uri()}"


def use(connection):
    """Send a message through a connection."""
    with connection:
        channel = connection.channel()
        declare(channel, "q")
        publish(channel, "q", "a")
        assert take_all(channel, "q") == ["a"]


def given(**options):
    return Connection(f"{URL};{ALTERNATE}", transport_options=OPTIONS, **options)


def used(**options):
    """Return a connection with its transport, which redacts it."""
    connection = given(**options)
    assert connection.transport
    return connection


def copies(connection):
    return [
        connection,
        connection.clone(),
        connection.clone().clone(),
        copy.copy(connection),
        pickle.loads(pickle.dumps(connection)),  # noqa: S301 - our own
    ]


def test_nothing_that_shows_a_connection_shows_a_password():
    for connection in copies(used()):
        for shown in (repr(connection), connection.as_uri(), json.dumps(connection.info()), str(connection.info())):
            assert "hunter" not in shown


def test_the_rest_of_a_connection_is_shown():
    info = used().info()

    assert json.loads(json.dumps(info["hostname"])) == "pool+redis://user:**@host:1/0?sentinel_password=**"
    assert json.loads(json.dumps(info["alternates"])) == [
        "pool+redis://user:**@host:1/0?sentinel_password=**",
        "pool+redis+sentinel://:**@one:1,two:2/master",
    ]
    assert json.loads(json.dumps(info["transport_options"])) == {
        "claim_ttl": 30,
        "pools": [
            {"name": "a", "uri": "redis://:**@host/1"},
            {"name": "b", "uri": "redis://host/2", "options": {"sentinel_password": "**"}},
        ],
        "flavors": ["hot", "cold"],
    }


def test_the_password_is_given_to_a_caller_that_asks_for_it():
    for connection in copies(used()):
        assert connection.as_uri(include_password=True) == URL


def test_a_mask_may_be_asked_for():
    assert "user:####@host" in used().as_uri(mask="####")


def test_connections_are_the_same_whether_something_is_hidden_yet_or_not():
    key = eqhash(given())

    for connection in copies(used()):
        assert eqhash(connection) == key
        assert hash(eqhash(connection)) == hash(key)
        assert connections[connection] is connections[given()]


@pytest.mark.parametrize(
    "other",
    [
        Connection(URL.replace("hunter2", "hunter0"), transport_options=OPTIONS),
        Connection(URL.replace("hunter3", "hunter0"), transport_options=OPTIONS),
        Connection(URL, transport_options={**OPTIONS, "pools": [{"name": "a", "uri": "redis://:hunter0@host/1"}]}),
    ],
)
def test_connections_with_other_passwords_are_others(other):
    connection = Connection(URL, transport_options=OPTIONS)
    for each in (connection, other):
        assert each.transport

    assert eqhash(connection) != eqhash(other)


def test_the_options_that_were_given_stay_as_they_are():
    options = copy.deepcopy(OPTIONS)

    assert Connection(URL, transport_options=options).transport

    assert options == OPTIONS
    assert "hunter4" in repr(options)


def test_copies_connect(server, url):
    connection = Connection(url)
    assert connection.transport

    for each in copies(connection):
        use(each)


def test_a_pool_of_connections_connects(server, url):
    pool = connections[Connection(url)]

    with pool.acquire() as connection:
        use(connection)

    # Kombu keeps it, with the connection, for the next one who asks.
    pool.force_close_all()
    for key in [key for key, found in connections.items() if found is pool]:
        dict.pop(connections, key)


def test_pools_of_the_options_connect(server, tmp_path):
    pools = [{"name": "a", "uri": server.uri(db=1)}]

    for each in copies(Connection("pool+memory://with-passwords", transport_options={"pools": pools})):
        use(each)

    assert server.client(db=1).dbsize() > 0


@pytest.mark.parametrize("first", ["pool+redis://127.0.0.1:1/0", "pool+rediss://:wrong@127.0.0.1:1/0?db=0"])
def test_failover_takes_the_password_of_its_url(server, url, first):
    for connection in copies(Connection(f"{first};{url}")):
        connection.ensure_connection(max_retries=3, interval_start=0)

        assert not server.is_password_in(connection.info())
        for each in copies(connection):
            use(each)


def test_failover_from_another_transport_takes_all_of_the_url(server):
    connection = Connection("memory://;pool+rediss://us%40er:p%2Fw@host:7/2")
    assert connection.transport

    connection.maybe_switch_next()

    assert connection.as_uri(include_password=True) == "pool+rediss://us%40er:p%2Fw@host:7/2"
    assert "p%2Fw" not in connection.as_uri()
    assert "p/w" not in connection.as_uri()


def test_the_parts_of_a_url_may_be_given_one_by_one():
    connection = Connection("host", "user", lambda: "p@w", "3", 7, transport="pool+redis")

    assert connection.as_uri(include_password=True) == "pool+redis://user:p%40w@host:7/3"


def test_no_error_shows_the_password(server, caplog):
    caplog.set_level("DEBUG")
    wrong = quote(server.password[::-1], safe="")
    url = f"pool+{server.uri()}".replace(quote(server.password, safe=""), wrong)

    with pytest.raises(errors.KombuPoolError, match="invalid username-password pair") as caught:
        Connection(url).connect()

    for text in (str(caught.value), repr(caught.value), str(caught.value.__cause__), caplog.text):
        assert server.password[::-1] not in text
        assert wrong not in text


ODD = "redis://u:a; s3cret@127.0.0.1:1/0"


@pytest.mark.parametrize(
    "options",
    [
        {"pools": ODD},
        {"pools": [ODD]},
        {"pools": [["a", ODD]]},
        {"pools": {"a": ODD}},
        {"pools": [{"name": "a", "uri": [ODD]}]},
        {"pools": [{"name": "a", "uri": ODD, "weight": ODD}]},
        {"queue_flavors": [ODD]},
        {"queue_flavors": {"q": {"uri": ODD}}},
    ],
)
def test_no_error_about_an_option_shows_a_password(options):
    connection = Connection("pool+memory://odd", transport_options=options)

    with pytest.raises(errors.ConfigurationError) as caught:
        connection.connect()

    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in str(connection.info())


def test_the_health_of_a_pool_shows_no_password(caplog):
    caplog.set_level("DEBUG", "kombu_pool")
    pools = [{"name": "a", "uri": ODD, "options": {"sentinel_password": "s3cret", "socket_timeout": 1}}]
    with Connection("pool+memory://health", transport_options={"pools": pools}) as connection:
        data = connection.connect().broker.data
        with pytest.raises(errors.PoolUnavailable) as caught:
            declare(connection.default_channel, "q")
        health = data.health()

    assert health["pools"]["a"]["storage_reachable"] is False
    for shown in (health, caught.value, caught.value.__cause__, caplog.text, connection.info()):
        assert "s3cret" not in str(shown)
