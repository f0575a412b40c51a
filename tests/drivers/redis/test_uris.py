"""URIs of a Redis, and the errors for those that cannot work."""

from __future__ import annotations

from dataclasses import replace

import pytest

from _kombu_pool_entry import ALIASES
from kombu_pool import drivers, errors
from kombu_pool.drivers.redis.location import locate
from tests.support.servers.redis_shared import shared_server

#: Invalid URIs, and parts of the error that names the remedy.
WRONG = {
    "redis://host1,host2/0": ["2 hosts", "redis+sentinel://", "redis+cluster://", "';'"],
    "rediss://host1:1,host2:2,host3:3": ["3 hosts", "redis+sentinel://"],
    "redis://host/queue": ["'queue'", "redis://host:6379/0"],
    "redis://host/0/1": ["'0/1'", "redis://host:6379/0"],
    "redis://host/-1": ["'-1'", "redis://host:6379/0"],
    "redis://host/²": ["'²'", "redis://host:6379/0"],
    "redis://host/1?db=2": ["twice", "1 and db=2"],
    "redis://host/0?db=0&db=0": ["'db'", "twice"],
    "redis://host?db=one": ["db='one'", "number"],
    "redis://host?db=-1": ["db='-1'", "number"],
    "redis://host:0": ["'host:0'", "HOST:PORT"],
    "redis://host:65536": ["'host:65536'", "HOST:PORT"],
    "redis://host:port": ["'host:port'", "HOST:PORT"],
    "redis://host:": ["'host:'", "HOST:PORT"],
    "redis://::1/0": ["'::1'", "HOST:PORT"],
    "redis://[::1/0": ["'[::1'", "HOST:PORT"],
    "redis+sentinel://host1,host2": ["no master", "redis+sentinel://host1,host2/MASTER/0"],
    "redis+sentinel://host1/": ["no master", "redis+sentinel://host1,host2/MASTER/0"],
    "redis+sentinel://host1/master/two": ["'two'", "number of a database"],
    "redis+cluster://host/1": ["one database, number 0"],
    "redis+cluster://host?db=1": ["one database, number 0"],
    "redis+socket://": ["redis+socket:///run/redis/redis.sock?db=0"],
    "redis+socket://run/redis.sock": ["redis+socket:///run/redis/redis.sock?db=0"],
    "redis+socket:///run/redis.sock?db=x": ["db='x'", "number"],
    "redis+sockets:///run/redis.sock": ["redis+sockets://", "did you mean redis+socket://?"],
    "redis://host?max_conections=3": ["'max_conections'", "max_connections"],
    "redis://host?max_connections=0": ["max_connections='0'", "1"],
    "redis://host?socket_timeout=soon": ["socket_timeout='soon'", "Seconds to wait"],
    "redis://host?socket_timeout=0": ["socket_timeout='0'", "0.05"],
    "redis://host?health_check_interval=-1": ["health_check_interval='-1'", "Seconds"],
    "redis://host?key_prefix={a}": ["key_prefix='{a}'", "all key names"],
    "redis://host?key_prefix={a}b": ["key_prefix='{a}b'", "all key names"],
    "redis://host?key_prefix=a%20b": ["key_prefix='a b'", "all key names"],
    "redis://host?key_prefix=": ["key_prefix=''", "all key names"],
    "rediss://host?ssl_cert_reqs=maybe": ["ssl_cert_reqs='maybe'", "required", "optional", "none"],
    "redis://host?ssl=perhaps": ["ssl='perhaps'", "rediss://"],
    "redis://host?min_replicas=many": ["min_replicas='many'", "replicas"],
}
RIGHT = {
    "redis://": [("localhost", 6379)],
    "redis:///3": [("localhost", 6379)],
    "redis://host": [("host", 6379)],
    "redis://host:65535/": [("host", 65535)],
    "REDIS://host": [("host", 6379)],
    "redis://[::1]": [("::1", 6379)],
    "rediss://user:pw@[fe80::1%25eth0]:7000/1": [("fe80::1%25eth0", 7000)],
    "redis+sentinel://[::1],host:1/master": [("::1", 26379), ("host", 1)],
    "redis+cluster://a,b:7001": [("a", 6379), ("b", 7001)],
    "redis+socket:///run/redis.sock": [],
}


def location_of(uri, **options):
    return locate(drivers.parse(uri), options, None)


@pytest.mark.parametrize("uri", WRONG)
def test_what_is_wrong_is_named_with_what_would_be_right(uri):
    with pytest.raises(errors.ConfigurationError) as caught:
        drivers.open_data(uri)

    text = str(caught.value)
    assert [part for part in WRONG[uri] if part not in text] == [], text


@pytest.mark.parametrize("uri", RIGHT)
def test_hosts_are_read(uri):
    assert [*location_of(uri).nodes] == RIGHT[uri]


@pytest.mark.parametrize(
    ("uri", "db"),
    [
        ("redis://host", 0),
        ("redis://host/7", 7),
        ("redis://host?db=7", 7),
        ("redis://host/7?db=7", 7),
        ("redis+socket:///run/redis.sock?db=7", 7),
        ("redis+sentinel://host/master", 0),
        ("redis+sentinel://host/master/7", 7),
        ("redis+sentinel://host/master?db=7", 7),
        ("redis+cluster://host/0", 0),
    ],
)
def test_the_database_is_read(uri, db):
    assert location_of(uri).db == db


@pytest.mark.parametrize(
    ("credentials", "username", "password"),
    [
        ("", None, None),
        ("user@", "user", None),
        ("user:@", "user", None),
        (":pw@", None, "pw"),
        ("user:pw@", "user", "pw"),
        ("us%40er%3A:p%40s%3As%2Fw%25%20%C3%A9@", "us@er:", "p@s:s/w% é"),
        ("user:a:b@", "user", "a:b"),
        ("user:a@b@", "user", "a@b"),
        ("user:a+b@", "user", "a+b"),
    ],
)
@pytest.mark.parametrize("scheme", ["redis://{}host/0", "redis+socket://{}/run/redis.sock", "redis+sentinel://{}h,i/m"])
def test_user_and_password_are_read(scheme, credentials, username, password):
    location = location_of(scheme.format(credentials))

    assert (location.username, location.password) == (username, password)


def test_options_of_a_pool_stand_above_those_of_its_uri():
    location = location_of("redis://host?max_connections=3&socket_timeout=1.5", max_connections=5)

    assert (location.max_connections, location.socket_timeout) == (5, 1.5)


def test_only_some_uris_mean_tls():
    assert location_of("rediss://host").ssl
    assert location_of("redis://host?ssl=true").ssl
    assert location_of("redis+cluster://host?ssl=1").ssl
    assert not location_of("redis://host").ssl


@pytest.mark.parametrize(
    ("other", "name", "tls"),
    [
        ("valkey://user:pw@host:1/2", "redis://user:pw@host:1/2", False),
        ("valkeys://host", "rediss://host", True),
        ("rediss+cluster://a,b:2", "redis+cluster://a,b:2", True),
        ("rediss+sentinel://a,b/m/1", "redis+sentinel://a,b/m/1", True),
    ],
)
def test_a_scheme_has_other_names(other, name, tls):
    assert location_of(other) == replace(location_of(name), text=other.replace("pw@", "**@"), ssl=tls)
    assert f"pool+{other.partition(':')[0]}" in ALIASES


def test_the_path_of_a_socket_is_unquoted():
    assert location_of("redis+socket:///run/my%20redis/a@b.sock").path == "/run/my redis/a@b.sock"


def test_a_host_may_have_an_ipv6_address(open_driver):
    driver = open_driver(f"redis://[::1]:{shared_server().port}/0?socket_connect_timeout=10")

    # The server does not listen there, but the error names the parsed address.
    with pytest.raises(errors.ConnectionError, match=r"::1"):
        driver.queue_controller.exists("q")
