"""A Redis as services and operators have it: renamed commands, eviction policies, schemes, announced addresses."""

from __future__ import annotations

import logging

import pytest
from kombu import Connection, Producer, Queue

from kombu_pool import drivers, errors
from kombu_pool.drivers.redis.location import locate
from kombu_pool.drivers.redis.sentinels import Master, Sentinels
from kombu_pool.drivers.redis.server_check import check_info
from tests.support.servers.redis_sentinel import NAME, Sentinel
from tests.support.servers.redis_server import Server
from tests.support.servers.redis_shared import fresh_uri, shared_cluster, shared_server
from tests.support.transport.traffic import consume


@pytest.fixture(scope="module")
def sentinel():
    with Server() as master, Sentinel(master, quorum=1) as sentinel:
        sentinel.ask("ACL", "SETUSER", "watcher", "on", ">s3cret", "+@all", "allchannels")
        sentinel.ask("ACL", "SETUSER", "default", "off")
        yield sentinel, master


def sentinels_of(uri, **options):
    return Sentinels(locate(drivers.parse(uri), options, None))


# Commands that are renamed or unknown.


@pytest.mark.parametrize("name", ['""', ""])
def test_a_server_without_client_and_info_serves_a_connection(open_driver, name, caplog):
    with Server(rename_command=[f"{command} {name or command + '-2'}" for command in ("CLIENT", "INFO")]) as server:
        with Connection(f"pool+{server.uri()}") as connection, connection.channel() as channel:
            Queue("q")(channel).declare()
            Producer(channel).publish("a", routing_key="q")
            assert consume(channel, "q", ack=True).wait_for(1)[0].payload == "a"
        health = open_driver(server.uri()).health()

    assert health["storage_reachable"] is True
    assert "error" not in health
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


# Eviction.


@pytest.mark.parametrize(
    ("policy", "warns"),
    [("allkeys-lru", True), ("allkeys-random", True), ("volatile-lru", False), ("noeviction", False)],
)
def test_only_policies_that_delete_keys_without_an_expiry_are_warned_of(policy, warns, caplog):
    location = locate(drivers.parse("redis://host/0"), {}, None)

    check_info({"redis_version": "7.0.0", "maxmemory_policy": policy}, location)

    assert (policy in caplog.text) is warns


# Schemes.


def test_a_node_of_a_cluster_says_the_right_form_at_once(open_driver):
    uri = f"redis://{shared_cluster().nodes[0].address}/0"

    with pytest.raises(
        errors.ConfigurationError, match=r"a node of a Redis Cluster: write redis\+cluster://HOST:PORT$"
    ):
        open_driver(uri).queue_controller.create("q")
    with Connection(f"pool+{uri}") as connection, pytest.raises(errors.ConfigurationError, match="a Redis Cluster"):
        Queue("q")(connection.ensure_connection(max_retries=99).default_channel).declare()


def test_the_form_over_tls_is_said_where_tls_is_used():
    location = locate(drivers.parse("rediss://host/0"), {}, None)

    with pytest.raises(errors.ConfigurationError, match=r"write redis\+cluster://HOST:PORT\?ssl=true$"):
        check_info({"cluster_enabled": "1"}, location)


def test_a_node_that_refuses_info_says_the_right_form_too(open_driver):
    node = shared_cluster().nodes[0]
    node.ask("ACL", "SETUSER", "uninformed", "on", ">x", "~*", "&*", "+@all", "-info")
    driver = open_driver(f"redis://uninformed:x@{node.address}/0")

    with pytest.raises(errors.ConfigurationError, match=r"write redis\+cluster://"):
        [driver.queue_controller.create(f"q{number}") for number in range(9)]


def test_a_sentinel_and_a_redis_are_not_taken_for_one_another(open_driver, sentinel):
    watching, _ = sentinel
    driver = open_driver(f"redis://watcher:s3cret@{watching.address}/0")
    with pytest.raises(errors.ConfigurationError, match=r"is a Sentinel: write redis\+sentinel://HOST:PORT/MASTER/0"):
        driver.queue_controller.create("q")

    driver = open_driver(f"redis+sentinel://{shared_server().address}/mymaster/0")
    with pytest.raises(errors.ConfigurationError, match="is no Sentinel"):
        driver.queue_controller.create("q")


def test_a_redis_that_is_no_cluster_says_the_right_form(open_driver):
    driver = open_driver(fresh_uri().replace("redis://", "redis+cluster://").rpartition("/")[0])

    with pytest.raises(errors.ConfigurationError, match="is in no Redis Cluster: write redis://"):
        driver.queue_controller.create("q")


# Sentinels.


def test_a_wrong_password_of_a_sentinel_is_told_in_short(open_driver, sentinel):
    watching, _ = sentinel
    driver = open_driver(
        f"redis+sentinel://{watching.address}/{NAME}/0?sentinel_username=watcher&sentinel_password=wr0ng"
    )

    with pytest.raises(errors.ConnectionError, match=r"a Sentinel refuses the user.*sentinel_password") as caught:
        driver.queue_controller.create("q")

    assert len(str(caught.value)) < 300
    assert "wr0ng" not in str(caught.value)


def test_sentinels_that_are_down_and_unknown_masters_are_told_in_short(open_driver, sentinel):
    watching, _ = sentinel
    user = "?sentinel_username=watcher&sentinel_password=s3cret"

    for uri, told in {
        "redis+sentinel://127.0.0.1:1,127.0.0.1:2/mymaster/0": "no Sentinel reports a master: Connection refused",
        f"redis+sentinel://{watching.address}/another/0{user}": f"it knows no master 'another' \\(masters: {NAME}\\)",
    }.items():
        with pytest.raises(errors.ConnectionError, match=told) as caught:
            open_driver(uri).queue_controller.create("q")
        assert len(str(caught.value)) < 300


def test_the_user_of_sentinel_kwargs_is_honoured(sentinel, caplog):
    watching, master = sentinel
    options = {"sentinel_kwargs": {"username": "watcher", "password": "s3cret"}}

    with Connection(f"pool+redis+sentinel://{watching.address}/{NAME}/0", transport_options=options) as connection:
        Queue("q")(connection.default_channel).declare()
        assert "s3cret" not in connection.as_uri() + str(connection.info()["hostname"])

    assert master.ask("KEYS", "*queue")
    assert "sentinel_kwargs" not in caplog.text


# Addresses that cannot be reached as they are announced.


def test_the_address_of_a_master_is_mapped(sentinel):
    watching, master = sentinel
    uri = f"redis+sentinel://{watching.address}/{NAME}/0?sentinel_username=watcher&sentinel_password=s3cret"

    for mapped, address in {
        f"127.0.0.1:{master.port}=localhost:1234,127.0.0.1=elsewhere": ("localhost", 1234),
        "127.0.0.1=elsewhere": ("elsewhere", master.port),
        "127.0.0.1:1=elsewhere": ("127.0.0.1", master.port),
    }.items():
        asked = sentinels_of(uri, address_map=mapped)
        assert asked.master(None) == Master(address, 0)
        asked.close()


@pytest.mark.parametrize("wrong", ["10.0.0.1", "=b", {"a": 1}, "a:b:c=d"])
def test_an_address_map_that_cannot_work_is_named(wrong):
    with pytest.raises(errors.ConfigurationError, match=r"address_map|HOST:PORT"):
        drivers.open_data("redis+cluster://host", options={"address_map": wrong})
