"""Parts of a broker URL that are given beside it, as Kombu and Celery take them: honoured, or refused by name."""

from __future__ import annotations

import pickle
import ssl

import pytest
from celery import Celery
from kombu import Connection
from kombu.pools import connections
from kombu.utils.collections import eqhash

from kombu_pool import errors
from tests.support.servers.certificates import certificates
from tests.support.servers.mongodb.tls import TlsMongoServer
from tests.support.servers.redis_quoted_password import QuotedPasswordServer
from tests.support.servers.redis_tls import TlsServer
from tests.support.transport.traffic import declare, publish, take_all

TLS = {"ca_certs": "/ca", "certfile": "/c", "keyfile": "/c", "cert_reqs": ssl.CERT_OPTIONAL}
KOMBUS = {"ssl_ca_certs": "/ca", "ssl_cert_reqs": "CERT_NONE", "ssl_check_hostname": False}


def use(connection):
    """Send a message through a connection."""
    with connection:
        channel = connection.channel()
        declare(channel, "q")
        publish(channel, "q", "a")
        assert take_all(channel, "q") == ["a"]


def copies(connection):
    """Return a connection, a clone of it, one of a pool of connections, and one that was pickled."""
    return connection, connection.clone(), connection.Pool(1).new(), pickle.loads(pickle.dumps(connection))  # noqa: S301


def uri_of(connection):
    return connection.as_uri(include_password=True)


@pytest.mark.parametrize(
    ("url", "given", "meant"),
    [
        ("pool+redis://h", {"virtual_host": "5"}, "pool+redis://h/5"),
        ("pool+redis://h/", {"virtual_host": "/5"}, "pool+redis://h/5"),
        ("pool+redis://h/5", {"virtual_host": "/5"}, "pool+redis://h/5"),
        ("pool+redis://h/5", {"virtual_host": "/"}, "pool+redis://h/5"),
        ("pool+redis://h", {"userid": "u@x", "password": "p/w"}, "pool+redis://u%40x:p%2Fw@h"),
        ("pool+redis://u@h", {"password": lambda: "pw"}, "pool+redis://u:pw@h"),
        ("pool+redis://:pw@h", {"userid": "u"}, "pool+redis://u:pw@h"),
        ("pool+redis://h", {"port": 7}, "pool+redis://h:7"),
        ("pool+redis://", {"port": "7"}, "pool+redis://localhost:7"),
        ("pool+redis://[::1]/0", {"port": 7}, "pool+redis://[::1]:7/0"),
        ("pool+redis+cluster://h1,h2:7", {"port": 7}, "pool+redis+cluster://h1:7,h2:7"),
        ("pool+redis+sentinel://h/main", {"virtual_host": "5"}, "pool+redis+sentinel://h/main/5"),
        ("pool+redis+socket:///s.sock", {"virtual_host": "5"}, "pool+redis+socket:///s.sock?db=5"),
        ("pool+redis://h/0", {"ssl": True}, "pool+redis://h/0?ssl=true"),
        ("pool+rediss://h/0?ssl_cert_reqs=none", {"ssl": {"cert_reqs": 0}}, "ssl_cert_reqs=none&ssl=true"),
        ("pool+redis://h", {"ssl": KOMBUS}, "?ssl=true&ssl_ca_certs=%2Fca&ssl_cert_reqs=none&ssl_check_hostname=false"),
        ("pool+redis://h", {"ssl": {"ssl_cert_reqs": None}}, "?ssl=true&ssl_cert_reqs=none"),
        ("pool+redis://h", {"ssl": TLS}, "?ssl=true&ssl_ca_certs=%2Fca&ssl_certfile=%2Fc&ssl_keyfile=%2Fc&ssl_cert"),
        ("pool+mongodb://h1,h2?w=2", {"virtual_host": "shop"}, "pool+mongodb://h1,h2/shop?w=2"),
        ("pool+mongodb://h", {"ssl": TLS}, "pool+mongodb://h?tls=true&tlsCAFile=%2Fca&tlsCertificateKeyFile=%2Fc"),
        ("pool+mongodb://h?ssl=true", {"ssl": KOMBUS}, "?ssl=true&tlsCAFile=%2Fca&tlsAllowInvalidCertificates=true&"),
        ("pool+sqlite://", {"virtual_host": "/x/y.db"}, "pool+sqlite:////x/y.db"),
        ("pool+memory://a", {"virtual_host": "b"}, "pool+memory://a/b"),
        ("pool://", {"virtual_host": "/shop"}, "kombu_pool/shop.db"),
        ("pool://", {"virtual_host": "/"}, "kombu_pool/default.db"),
    ],
)
def test_a_part_that_the_url_lacks_becomes_a_part_of_it(url, given, meant):
    for connection in copies(Connection(url, **({**given, "password": "pw"} if "password" in given else given))):
        assert meant.replace("p%2Fw", "pw") in uri_of(connection)
    assert meant in uri_of(Connection(url, **given))


@pytest.mark.parametrize(
    ("url", "given", "told"),
    [
        ("pool+redis://h/0", {"virtual_host": "5"}, ["virtual_host", "broker_vhost", "differ"]),
        ("pool+redis://h:6379", {"port": 7}, ["port", "broker_port", "differ"]),
        ("pool+redis://h", {"port": "http"}, ["port", "broker_port", "'http'"]),
        ("pool+redis://u:hunter2@h", {"userid": "other"}, ["userid", "broker_user", "differ"]),
        ("pool+redis://u:hunter2@h", {"password": "hunter3"}, ["password", "broker_password", "differ"]),
        ("pool+rediss://h?ssl_cert_reqs=required", {"ssl": {"cert_reqs": "none"}}, ["ssl_cert_reqs", "differ"]),
        ("pool+redis://h", {"ssl": {"ciphers": "x"}}, ["'ciphers'", "broker_use_ssl", "ca_certs"]),
        ("pool+redis://h", {"ssl": {"cert_reqs": "maybe"}}, ["cert_reqs", "'maybe'", "optional"]),
        ("pool+redis+socket:///s.sock", {"ssl": True}, ["takes no ssl"]),
        ("pool+mongodb://h", {"ssl": {"certfile": "/c", "keyfile": "/k"}}, ["certfile", "one file"]),
        ("pool+sqlite:///x.db", {"virtual_host": "y.db"}, ["virtual_host", "differ"]),
        ("pool+sqlite:///x.db", {"password": "hunter2"}, ["takes no password", "broker_password"]),
        ("pool+memory://x", {"userid": "u", "port": 7}, ["takes no userid", "port (in Celery: broker_port)"]),
        ("pool://", {"ssl": True}, ["takes no ssl", "broker_use_ssl"]),
        ("pool+conf:///x.conf", {"virtual_host": "5"}, ["takes no virtual_host"]),
        ("pool+redis://a;pool+redis://b", {"password": "hunter2"}, ["each", "broker_password"]),
        ("pool+redis://a;pool+redis://b", {"virtual_host": "5"}, ["each", "broker_vhost"]),
    ],
)
def test_a_part_that_cannot_be_honoured_is_refused_by_name(url, given, told):
    with pytest.raises(errors.ConfigurationError) as caught:
        Connection(url, **given).connect()

    assert [word for word in told if word not in str(caught.value)] == []
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "meant"),
    [
        ({"virtual_host": "5"}, "pool+redis://u:p@h:1/5"),
        ({"userid": "v", "password": "q"}, "pool+redis://v:q@h:1/0"),
        ({"port": 2}, "pool+redis://u:p@h:2/0"),
    ],
)
@pytest.mark.parametrize("is_used", [False, True])
def test_a_clone_with_another_part_leads_elsewhere(changed, meant, is_used):
    connection = Connection("pool+redis://u:p@h:1/0")
    if is_used:
        assert connection.transport

    for each in copies(connection.clone(**changed)):
        assert uri_of(each) == meant
    assert uri_of(connection) == "pool+redis://u:p@h:1/0"


def test_a_connection_with_parts_has_one_pool_of_connections_with_its_copies():
    given = {"userid": "u", "password": "p", "virtual_host": "5", "port": 7}
    key = eqhash(Connection("pool+redis://h", **given))

    for connection in copies(Connection("pool+redis://h", **given)):
        assert eqhash(connection) == key
        assert connections[connection] is connections[Connection("pool+redis://h", **given)]
    for name in given:
        other = Connection("pool+redis://h", **{**given, name: "3"})
        assert eqhash(other) != key


def test_the_password_beside_a_url_is_not_shown():
    connection = Connection("pool+redis://h", userid="u", password="hunter2")

    assert connection.as_uri() == "pool+redis://u:**@h"
    assert "hunter2" not in str(connection.info())


def test_celerys_settings_are_honoured(tmp_path):
    app = Celery(broker="pool+redis://h", set_as_current=False)
    app.conf.update(broker_user="celery", broker_password="p", broker_vhost="5", broker_port=7)
    app.conf.broker_use_ssl = {"ssl_cert_reqs": ssl.CERT_NONE}

    for connection in copies(app.connection_for_write()):
        assert uri_of(connection) == "pool+redis://celery:p@h:7/5?ssl=true&ssl_cert_reqs=none"
    with app.pool.acquire() as connection:
        assert uri_of(connection) == "pool+redis://celery:p@h:7/5?ssl=true&ssl_cert_reqs=none"


def test_each_part_beside_the_url_is_the_one_that_is_used():
    with QuotedPasswordServer() as server:
        login = {"userid": server.user, "password": server.password}
        tls = {"ssl_ca_certs": str(certificates().authority)}
        host = "pool+redis://127.0.0.1"
        for connection in copies(Connection(host, port=server.port, virtual_host="5", ssl=tls, **login)):
            use(connection)

        assert server.client(db=5).dbsize() > 0
        assert server.client(db=0).dbsize() == 0


@pytest.fixture(scope="module", params=["redis", "mongodb"])
def tls_url(request):
    """The broker URL, without a word of TLS, of a server that requires it."""
    with TlsServer() if request.param == "redis" else TlsMongoServer() as server:
        login = f"{server.user}:{server.password}@" if request.param == "redis" else ""
        yield f"pool+{request.param}://{login}{server.address}"


@pytest.mark.parametrize(
    "settings",
    [
        {"ssl_ca_certs": str(certificates().authority)},
        {"ca_certs": str(certificates().authority), "cert_reqs": ssl.CERT_REQUIRED, "check_hostname": True},
        {"ssl_cert_reqs": ssl.CERT_NONE},
        {"cert_reqs": "CERT_NONE"},
    ],
)
def test_tls_is_that_of_the_store(tls_url, settings):
    for connection in copies(Connection(tls_url, ssl=settings)):
        use(connection)


@pytest.mark.parametrize("settings", [True, {"cert_reqs": "required"}])
def test_a_certificate_that_is_not_trusted_is_refused(tls_url, settings):
    soon = "?serverSelectionTimeoutMS=300" if "mongodb" in tls_url else ""

    with pytest.raises(errors.ConnectionError):
        Connection(f"{tls_url}/{soon}", ssl=settings).connect()
