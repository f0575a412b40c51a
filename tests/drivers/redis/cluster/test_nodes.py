from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from kombu_pool import drivers, errors
from kombu_pool.drivers.redis.cluster_client import ClusterClient
from kombu_pool.drivers.redis.cluster_slots import slot_of
from kombu_pool.drivers.redis.connection import execute
from kombu_pool.drivers.redis.location import locate
from tests.support.limits import LIMIT
from tests.support.redis.cluster_keys import APPEND, READ, connections, keys_by_node, keys_of, other_than, owner_of
from tests.support.servers.redis_shared import fresh_uri
from tests.support.servers.waiting import first_answer


def test_the_loss_of_a_node_is_told_and_its_return_is_noticed(cluster, redis_client):
    keys = keys_by_node(cluster)
    for key in keys:
        redis_client.call(APPEND, [key], "a")
    lost = owner_of(cluster, keys[0])

    lost.kill()

    with pytest.raises(errors.ConnectionError):
        redis_client.call(APPEND, keys[:1], "b")
    with pytest.raises(errors.ConnectionError):
        redis_client.commands([("GET", key) for key in keys])
    assert redis_client.command("GET", keys[1]) == b"a"
    lost.restart()
    cluster.wait_until_ready()
    assert redis_client.call(APPEND, keys[:1], "c") == b"c"


def test_the_node_that_took_over_from_a_lost_one_is_found(cluster, redis_client):
    (key, _) = keys_of()
    redis_client.command("SET", key, "a")
    lost = owner_of(cluster, key)
    cluster.move(slot_of(key), other_than(cluster, lost))

    lost.kill()

    assert redis_client.command("GET", key) == b"a"
    assert redis_client.call(APPEND, [key], "b") == b"ab"


def test_what_could_not_be_sent_is_sent_to_the_node_that_took_over(cluster, redis_client):
    lost = cluster.nodes[2]
    lost_key = next(key for key in keys_by_node(cluster) if owner_of(cluster, key) is lost)
    redis_client.command("PING")
    first_answer(lambda: not connections(lost), why=lambda: "it was met already")
    cluster.move(slot_of(lost_key), other_than(cluster, lost))

    lost.kill()

    assert redis_client.call(APPEND, [lost_key], "a") == b"a"


def test_one_node_of_the_uri_is_enough(cluster):
    node = cluster.nodes[1]
    redis_client = ClusterClient(locate(drivers.parse(f"redis+cluster://127.0.0.1:1,{node.address}"), {}, None))

    for key in keys_by_node(cluster):
        assert redis_client.call(APPEND, [key], "a") == b"a"
    redis_client.close()


def test_a_new_client_finds_a_cluster_whose_node_of_the_uri_is_gone(cluster):
    # The layout version of the store is on the node of this slot.
    store = owner_of(cluster, "{store}")
    seed = other_than(cluster, store)
    key = next(key for key in keys_by_node(cluster) if owner_of(cluster, key) is store)
    location = locate(drivers.parse(f"redis+cluster://{seed.address}"), {}, None)
    with closing(ClusterClient(location)) as redis_client:
        redis_client.command("SET", key, "a")

    seed.kill()

    with closing(ClusterClient(location)) as redis_client:
        assert redis_client.command("GET", key) == b"a"


def test_a_cluster_that_is_away_is_told():
    redis_client = ClusterClient(locate(drivers.parse("redis+cluster://127.0.0.1:1"), {}, None))

    with pytest.raises(errors.ConnectionError, match=r"127\.0\.0\.1:1"):
        redis_client.command("PING")


def test_a_redis_that_is_no_cluster_is_refused():
    uri = fresh_uri().replace("redis://", "redis+cluster://").rpartition("/")[0]
    redis_client = ClusterClient(locate(drivers.parse(uri), {}, None))

    with pytest.raises(errors.ConfigurationError, match="in no Redis Cluster"):
        redis_client.command("PING")
    redis_client.close()


def test_a_write_without_its_replicas_fails_and_says_that_it_is_stored(cluster, open_client):
    (key, _) = keys_of()
    redis_client = open_client(min_replicas=1, min_replicas_timeout=0.05)

    with pytest.raises(errors.ConnectionError, match="only 0 of min_replicas=1"):
        redis_client.call(APPEND, [key], "a")

    assert redis_client.command("GET", key) == b"a"


def test_many_threads_share_few_connections_to_each_node(cluster, open_client):
    redis_client = open_client(max_connections=3)
    keys = keys_by_node(cluster)

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda number: redis_client.call(APPEND, [keys[number % 3]], "a"), range(600)))

    assert [len(redis_client.command("GET", key)) for key in keys] == [200, 200, 200]
    assert all(1 <= len(connections(node)) <= 3 for node in cluster.nodes)


def test_a_caller_that_waits_is_given_a_connection_to_the_node_of_the_key(cluster, redis_client):
    for key in keys_by_node(cluster):
        with redis_client.blocking_connection(key) as connection:
            assert execute(connection.ready(), ("CLUSTER", "MYID")).decode() == owner_of(cluster, key).id
        assert len(connections(owner_of(cluster, key), "watch:")) == 1


def test_a_wait_at_a_node_that_was_lost_goes_on_at_the_one_that_took_over(cluster, redis_client):
    (key, _) = keys_of()
    with redis_client.blocking_connection(key) as connection:
        connection.ready()
    lost = owner_of(cluster, key)
    cluster.move(slot_of(key), other_than(cluster, lost))
    lost.kill()

    with pytest.raises(errors.ConnectionError), redis_client.blocking_connection(key) as connection:
        execute(connection.ready(), ("PING",))

    with redis_client.blocking_connection(key) as connection:
        assert execute(connection.ready(), ("PING",)) == b"PONG"


def test_closing_leaves_no_connection(cluster, redis_client):
    keys = keys_by_node(cluster)
    for key in keys:
        redis_client.call(APPEND, [key], "a")
        with redis_client.blocking_connection(key) as connection:
            connection.ready()

    redis_client.close()
    redis_client.close()

    first_answer(lambda: not any(connections(node) for node in cluster.nodes), why=lambda: "they are still open")


def test_a_call_after_closing_leaves_no_connection(cluster, redis_client):
    redis_client.close()

    for key in keys_by_node(cluster):
        redis_client.command("GET", key)

    first_answer(lambda: not any(connections(node) for node in cluster.nodes), why=lambda: "they are still open")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_child_has_connections_of_its_own(cluster, redis_client):
    keys = keys_by_node(cluster)
    for key in keys:
        redis_client.call(APPEND, [key], "a")

    status = in_child(lambda: [redis_client.call(APPEND, [key], "b") for key in keys])

    assert status == 0
    for key in keys:
        assert redis_client.call(APPEND, [key], "c") == b"abc"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_fork_while_a_thread_calls_does_no_harm(cluster, redis_client):
    keys = keys_by_node(cluster)
    enough = threading.Event()

    def go_on():
        while not enough.is_set():
            for key in keys:
                redis_client.call(READ, [key, key])

    thread = threading.Thread(target=go_on)
    thread.start()
    statuses = [in_child(lambda: redis_client.call(APPEND, keys[:1], "b")) for _ in range(20)]
    enough.set()
    thread.join()

    assert statuses == [0] * 20
    assert redis_client.command("GET", keys[0]) == b"b" * 20


def in_child(action):
    """Run ``action`` in a forked child; return its exit status, 0 when it raised nothing."""
    pid = os.fork()
    if pid == 0:
        status = 1
        signal.alarm(int(LIMIT))  # A child that hangs would outlive the test.
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
