"""Users, passwords and certificates."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from kombu import Connection

from kombu_pool import drivers, errors
from kombu_pool.drivers.redis.location import locate
from tests.support.servers import certificates
from tests.support.servers.redis_server import Server
from tests.support.servers.redis_tls import TlsServer
from tests.support.transport.traffic import consume, declare, eventually, publish

ROOT = Path(__file__).parents[3]
SECRET = "pa:ss@wo/rd%"
QUOTED = "pa%3Ass%40wo%2Frd%25"


@pytest.fixture(scope="module")
def secured():
    with TlsServer() as server:
        yield server


@pytest.fixture(scope="module")
def server():
    """A server whose default user needs no password."""
    with Server() as server:
        yield server


@pytest.fixture
def user(server):
    """Create a user with these rules, and return its URI."""

    def make(*rules):
        server.ask("FLUSHALL")
        server.ask("ACL", "SETUSER", "us@er", "reset", "on", f">{SECRET}", *rules)
        return f"redis://us%40er:{QUOTED}@{server.address}/0"

    return make


def exists(driver):
    return driver.queue_controller.exists("q")


# TLS.


@pytest.mark.parametrize("kind", ["uri", "socket_uri"])
def test_a_user_with_a_password_is_let_in(secured, open_queue, kind):
    secured.ask("FLUSHALL")
    queue = open_queue(getattr(secured, kind)())

    queue.post("a")

    assert queue.free() == ["a"]


def test_a_server_that_another_authority_vouches_for_is_refused(secured, open_driver, tmp_path):
    certificates._create_authority(tmp_path)
    driver = open_driver(f"{secured.uri().partition('?')[0]}?ssl_ca_certs={tmp_path / 'ca.pem'}")

    with pytest.raises(errors.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        exists(driver)


def test_a_server_without_a_trusted_certificate_is_refused(secured, open_driver):
    driver = open_driver(secured.uri().partition("?")[0])

    with pytest.raises(errors.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        exists(driver)


def test_a_certificate_need_not_be_checked(secured, open_driver):
    assert open_driver(secured.uri().partition("?")[0] + "?ssl_cert_reqs=none").is_alive()


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
def test_a_file_of_certificates_that_is_not_there_is_named(secured, open_driver, option):
    with pytest.raises(errors.ConfigurationError, match=rf"{option}='/not/there\.pem' is not a readable file"):
        open_driver(f"rediss://{secured.address}/0?{option}=/not/there.pem")


def test_a_client_without_tls_gets_an_error_from_a_server_with_tls(secured, open_driver):
    driver = open_driver(f"redis://{secured.address}/0?socket_timeout=5")

    with pytest.raises(errors.ConnectionError, match=secured.address):
        exists(driver)


# Passwords.


@pytest.mark.parametrize("wrong", ["us%40er:wr0ng-secret", "stranger:wr0ng-secret", ":wr0ng-secret"])
def test_a_wrong_password_is_told_without_it(user, open_driver, wrong):
    driver = open_driver(user("~*", "+@all").replace(f"us%40er:{QUOTED}", wrong))

    with pytest.raises(errors.ConnectionError, match=r"(?i)password") as caught:
        exists(driver)

    assert "wr0ng" not in str(caught.value)


def test_a_server_that_asks_for_a_password_says_so(secured, open_driver):
    driver = open_driver(secured.socket_uri().replace(f"{secured.user}:{secured.password}@", ""))

    with pytest.raises(errors.ConnectionError, match=r"(?i)authenticat"):
        exists(driver)


def test_a_password_is_shown_nowhere(user, open_driver, caplog):
    uri = user("~*", "+@all", "-info")
    where = drivers.parse(f"{uri}?sentinel_password=s3ntinel")
    location = locate(where, {}, None)
    with caplog.at_level(logging.DEBUG):
        driver = open_driver(uri)
        exists(driver)
        health = driver.health()
        bad = open_driver(uri.replace("/0", "/99"))
        with pytest.raises(errors.ConfigurationError) as caught:
            exists(bad)

    assert location.password == SECRET
    for text in (repr(location), str(location), repr(where), str(where), repr(driver), repr(health), caplog.text):
        assert SECRET not in text
        assert QUOTED not in text
        assert "s3ntinel" not in text
    for error in (caught.value, caught.value.__cause__):
        assert SECRET not in repr(error)
        assert QUOTED not in repr(error)


@pytest.mark.parametrize(
    "uri",
    [
        "redis://user:se/cret@host/0",
        "redis://user:se?cret@host/0",
        "redis://user:se#cret@host/0",
        "redis://:se/cret@host:x/0",
        "rediss://user:se/c:r@et@host/0",
        "redis+sentinel://user:se/cret@host1,host2/",
    ],
)
def test_a_password_that_should_have_been_quoted_is_shown_nowhere(uri):
    with pytest.raises(errors.ConfigurationError) as caught:
        drivers.open_data(uri)

    assert "cret" not in str(caught.value)
    assert "et@" not in str(caught.value)


# Permissions.


def test_a_user_may_be_held_to_the_prefix(user, open_queue, server):
    queue = open_queue(user("~ours:*", "&*", "+@all", "-@admin") + "?key_prefix=ours")
    queue.post("a")
    held = queue.claim()
    queue.end(held.id)
    queue.driver.gc()

    assert queue.free() == ["a"]
    assert all(key.startswith(b"ours:") for key in server.client().scan_iter())


def test_a_user_that_may_not_name_its_connections_works(user, open_queue):
    queue = open_queue(user("~*", "&*", "+@all", "-client"))
    queue.post("a")

    assert queue.pop()[0]["body"] == "a"


def test_a_user_that_may_not_ask_for_info_works(user, open_queue, caplog):
    with caplog.at_level(logging.INFO):
        queue = open_queue(user("~*", "&*", "+@all", "-info"))
        queue.post("a")

    assert queue.driver.is_alive()
    assert "INFO" in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_missing_permissions_are_named_with_the_command_before_anything_is_written(user, open_driver, server):
    page = (ROOT / "docs" / "redis.md").read_text()
    documented = set(re.search(r"ACL SETUSER app.*?```", page, re.DOTALL)[0].replace("`", "").split())
    optional = {"+info", "+client|setname", "+ping", "+eval"}
    missing = sorted(rule.removeprefix("+") for rule in documented - optional if rule.startswith("+"))

    for command in missing:
        driver = open_driver(user("~*", "&*", "+@all", f"-{command}"))
        with pytest.raises(errors.ConfigurationError, match=rf"ACL SETUSER us@er \+{command}$"):
            driver.queue_controller.create("q")
        assert server.ask("DBSIZE") == 0

    assert {"evalsha", "hrandfield", "zadd", "lpush"} <= set(missing)


def test_several_missing_permissions_are_named_together(user, open_driver):
    driver = open_driver(user("~*", "&*", "+@all", "-hrandfield", "-zmscore", "-wait") + "?min_replicas=1")

    with pytest.raises(errors.ConfigurationError, match=r"ACL SETUSER us@er \+hrandfield \+zmscore \+wait$"):
        driver.queue_controller.create("q")


def test_a_permission_that_is_withdrawn_later_is_a_matter_of_configuration(user, open_queue, server):
    queue = open_queue(user("~*", "&*", "+@all"))
    server.ask("ACL", "SETUSER", "us@er", "-zadd")

    with pytest.raises(errors.ConfigurationError, match="permission"):
        queue.post("a")


def test_a_consumer_that_is_refused_says_so_in_one_line_and_goes_on_later(user, server, caplog):
    with Connection(f"pool+{user('~*', '&*', '+@all')}") as connection, connection.channel() as channel:
        declare(channel, "q")
        inbox = consume(channel, "q")
        server.ask("ACL", "SETUSER", "us@er", "-zrange")
        with pytest.raises(connection.connection_errors):
            inbox.wait_for(1)
        server.ask("ACL", "SETUSER", "us@er", "+zrange")
        publish(channel, "q", "a")
        eventually(lambda: "works again" in caplog.text)

    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "Claiming from pool 'default' failed; retrying: " in error.message
    assert "the user lacks a permission" in error.message
    assert error.exc_info is None


def test_a_key_that_the_user_may_not_touch_is_told(user, open_driver):
    driver = open_driver(user("~theirs:*", "&*", "+@all"))

    with pytest.raises(errors.ConfigurationError, match="permission"):
        driver.queue_controller.create("q")
