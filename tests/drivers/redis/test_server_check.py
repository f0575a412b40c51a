"""The layout version and the identity of a store, which are checked on its first use."""

from __future__ import annotations

import threading

import pytest

from kombu_pool import drivers, errors
from kombu_pool.drivers.redis.server_check import LAYOUT_VERSION
from tests.support.redis.stored_keys import LAYOUT_KEY
from tests.support.servers.redis_server import Server
from tests.support.servers.redis_shared import fresh_cluster_uri


@pytest.fixture(params=["redis", "redis+cluster"])
def any_uri(request, uri):
    return uri if request.param == "redis" else fresh_cluster_uri()


@pytest.fixture
def open_control():
    """Open a control store; it is closed at the end."""
    opened = []

    def make(where):
        opened.append(drivers.open_control(where))
        return opened[-1]

    yield make
    for control in opened:
        control.close()


def test_the_identity_is_the_same_for_every_driver_of_the_store(any_uri, open_driver, open_control):
    first = open_driver(any_uri)
    identity = first.identity
    first.close()

    assert open_driver(any_uri).identity == identity
    assert open_control(any_uri).identity == identity
    # Drivers of one location share their connections; these have their own.
    other = f"{any_uri}{'&' if '?' in any_uri else '?'}socket_timeout=14"
    assert open_driver(other).identity == open_control(other).identity == identity


def test_two_prefixes_have_different_identities(uri, open_driver):
    identities = {open_driver(f"{uri}?key_prefix={prefix}").identity for prefix in ("one", "two")}

    assert len(identities) == 2


def test_of_two_first_users_one_makes_the_identity(uri, open_driver):
    stores = [open_driver(f"{uri}?socket_timeout={seconds}") for seconds in range(12, 20)]
    together, found = threading.Barrier(len(stores)), []

    def identify(store):
        together.wait()
        found.append(store.identity)

    threads = [threading.Thread(target=identify, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == len(stores)
    assert len({*found}) == 1


@pytest.mark.parametrize("version", [b"0", b"%d" % (LAYOUT_VERSION + 1), b"", b"a text"])
def test_another_layout_is_refused_with_its_remedy(uri, client, open_driver, open_control, version):
    client.set(LAYOUT_KEY, version + b":0123456789abcdef")
    data, control = open_driver(uri), open_control(uri)

    for use in (
        lambda: data.queue_controller.create("q"),
        lambda: data.identity,
        lambda: control.queue_controller.create("q"),
        control.epoch,
        lambda: control.identity,
    ):
        with pytest.raises(errors.IncompatibleStore) as caught:
            use()
        told = str(caught.value)
        assert f"the layout version {version.decode()}" in told
        assert f"needs {LAYOUT_VERSION}" in told
        assert uri in told
        assert "set another key_prefix, or delete these keys" in told
    assert data.is_alive() is False
    assert "layout version" in data.health()["error"]
    assert client.keys() == [LAYOUT_KEY]


def test_a_refused_store_shows_no_password(open_driver):
    with Server() as server:
        server.ask("SET", LAYOUT_KEY, "0:")
        server.ask("CONFIG", "SET", "requirepass", "s3cret")
        driver = open_driver(server.uri().replace("redis://", "redis://:s3cret@"))

        with pytest.raises(errors.IncompatibleStore, match="layout version") as caught:
            driver.queue_controller.create("q")

        assert "s3cret" not in str(caught.value)


def test_another_prefix_goes_beside_a_refused_one(uri, client, open_queue):
    client.set(LAYOUT_KEY, b"0:")

    queue = open_queue(f"{uri}?key_prefix=other")
    queue.post("a")

    assert queue.free() == ["a"]


def test_opening_asks_the_server_nothing_and_use_asks_once(uri, client, open_driver, commands):
    asked = [line.command[0] for line in commands(lambda: open_driver(uri))]
    driver = open_driver(uri)
    first = [line.command[0] for line in commands(lambda: driver.queue_controller.exists("q"))]
    later = [line.command[0] for line in commands(lambda: driver.queue_controller.exists("q"))]

    assert asked == []
    assert [command for command in first if command in {b"GET", b"SET", b"EXISTS"}] == [
        *(b"GET", b"GET", b"SET", b"GET"),
        b"EXISTS",
    ]
    assert later == [b"EXISTS"]


def test_an_emptied_store_gets_another_identity(uri, client, queue):
    before = queue.driver.identity
    client.flushdb()

    assert queue.driver.queue_controller.create("q") is True
    assert queue.driver.identity != before
    assert queue.driver.identity == queue.driver.identity


def test_a_full_server_without_an_identity_can_be_read(open_driver):
    with Server(maxmemory_policy="noeviction", maxmemory=1) as server:
        driver = open_driver(server.uri())

        assert driver.queue_controller.exists("q") is False
        assert driver.message_controller.pop("q", 1) == []
        with pytest.raises(errors.StoreFull):
            driver.queue_controller.create("q")


def test_a_user_of_the_documented_commands_can_make_the_identity(open_driver):
    with Server() as server:
        server.ask("ACL", "SETUSER", "app", "reset", "on", ">pw", "~kombu-pool:*", "+get", "+set")
        driver = open_driver(server.uri().replace("redis://", "redis://app:pw@"))

        assert len(driver.identity) == 16
