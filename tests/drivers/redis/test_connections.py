"""The connections of a process: few, named, with timeouts, and replaced when the server closed them."""

from __future__ import annotations

import os
import threading
import time

import pytest

from kombu_pool import drivers, errors
from kombu_pool.drivers.redis.client import Client
from kombu_pool.drivers.redis.location import locate
from kombu_pool.testing import bodies, ids
from tests.support.limits import LIMIT
from tests.support.servers.redis_server import Server
from tests.support.servers.waiting import first_answer

THREADS = 8
SECONDS = 0.5


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


@pytest.fixture
def uri(server):
    server.ask("FLUSHALL")
    return server.uri()


@pytest.fixture
def connections(server):
    """Return the server's list of our connections: ``connections()``."""
    client = server.client()

    def ask():
        return [found for found in client.client_list() if found["name"].startswith("kombu-pool:")]

    return ask


def opened(redis_client):
    return [*redis_client._idle, *redis_client._blocking]


def in_threads(work):
    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_many_threads_share_a_few_connections(queue, connections, server):
    until = time.monotonic() + SECONDS
    claimed = []
    posted = [0] * THREADS

    def work(number):
        while time.monotonic() < until:
            queue.post([number, posted[number]])
            posted[number] += 1
            held = queue.claim(limit=4)
            claimed.extend(bodies(held))
            assert queue.delete_claimed([(message_id, held.id) for message_id in ids(held)]) == []

    watch = queue.driver.watch([(None, queue.name)])
    watch.wait(0.01)
    in_threads(work)
    watch.wait(0.01)

    names = {found["name"] for found in connections()}
    assert len(connections()) <= 2 + 1
    assert names == {f"kombu-pool:{name_of_host()}:{os.getpid()}", f"kombu-pool:watch:{name_of_host()}:{os.getpid()}"}
    assert sorted([*claimed, *queue.all()]) == [
        [number, index] for number in range(THREADS) for index in range(posted[number])
    ]
    watch.close()


def name_of_host():
    return "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in os.uname().nodename)


def test_drivers_of_one_location_share_their_connections_until_the_last_is_closed(uri, open_driver, connections):
    first, second = open_driver(uri), open_driver(uri)
    first.queue_controller.create("q")
    second.queue_controller.create("q")
    assert len(connections()) == 1

    first.close()
    assert second.queue_controller.exists("q")
    second.close()

    assert first_answer(lambda: not connections())


def test_connections_stay_as_many_when_they_fail_again_and_again(uri):
    location = locate(drivers.parse(uri.replace("127.0.0.1", "127.0.0.9")), {"socket_connect_timeout": 0.05}, None)
    redis_client = Client(location)

    def fail(number):
        with pytest.raises(errors.ConnectionError, match="refused"):
            redis_client.command("PING")

    in_threads(fail)

    assert len(opened(redis_client)) <= 2
    redis_client.close()


def test_a_server_is_looked_at_once_though_many_threads_meet_it(uri, server):
    redis_client = Client(locate(drivers.parse(uri), {"max_connections": THREADS}, None))
    server.ask("CONFIG", "RESETSTAT")

    in_threads(lambda number: redis_client.command("BLPOP", f"nothing {number}", 0.1))

    assert len(opened(redis_client)) > 1
    assert server.client().info("commandstats")["cmdstat_info"]["calls"] == 1
    redis_client.close()


def test_a_connection_that_got_lost_is_replaced(uri):
    redis_client = Client(locate(drivers.parse(uri), {}, None))
    for _ in range(3):
        # As after a signal handler that raised before the release.
        redis_client._acquire()

    assert redis_client.command("PING") == b"PONG"
    redis_client.close()


def test_each_socket_has_a_timeout(uri, open_queue):
    queue = open_queue(f"{uri}?socket_timeout=6")
    watch = queue.driver.watch([(None, queue.name)])
    in_threads(queue.post)
    queue.pop(THREADS)
    watch.wait(0.01)
    redis_client = queue.driver._client
    # A watch closes its connection when a reply is outstanding.
    with redis_client.blocking_connection(b"") as connection:
        connection.ready()

    idle, blocking = (
        {connection._raw._sock.gettimeout() for connection in connections}
        for connections in (redis_client._idle, redis_client._blocking)
    )

    assert idle == {6.0}
    assert 1 < min(blocking) <= max(blocking) < 20
    watch.close()


def test_a_caller_that_finds_all_connections_busy_gets_an_error_in_time(uri, open_queue):
    queue = open_queue(f"{uri}?max_connections=1&socket_timeout=1")
    taken = queue.driver._client._acquire()

    with pytest.raises(errors.ConnectionError, match="all max_connections=1 are busy"):
        queue.count()

    queue.driver._client._release(taken)
    assert first_answer(lambda: queue.count() == 0)


@pytest.mark.parametrize("interval", ["0.3", "4.0", "0"])
def test_connections_that_the_server_closed_are_replaced_without_a_word(server, uri, open_queue, connections, interval):
    queue = open_queue(f"{uri}?health_check_interval={interval}")
    queue.post("a")
    held = queue.claim()
    calls = [
        queue.stats,
        lambda: queue.renew(held.id, ttl=600),
        lambda: queue.post("b"),
        lambda: queue.claim_of(held.id),
        lambda: queue.delete_claimed([(ids(held)[0], held.id)]),
    ]

    for call in calls:
        for found in connections():
            server.ask("CLIENT", "KILL", "ID", found["id"])
        idle(queue.driver._client)
        call()

    assert queue.all() == ["b"]


def idle(redis_client):
    """Make the connections look idle for a while."""
    for connection in opened(redis_client):
        connection._used_at -= 10


def test_a_watch_outlives_its_connection(server, queue, connections):
    watch = queue.driver.watch([(None, queue.name)])
    watch.wait(0.01)
    with queue.driver._client.blocking_connection(b"") as connection:
        connection.ready()
    for found in connections():
        server.ask("CLIENT", "KILL", "ID", found["id"])
    idle(queue.driver._client)

    assert watch.wait(0.05) is False
    queue.post("a")
    assert watch.wait(LIMIT) is True
    watch.close()


def test_scripts_that_the_server_forgot_are_brought_again(server, queue):
    calls = [
        lambda: queue.post("a", "b", "c"),
        lambda: queue.claim(limit=1),
        lambda: queue.pop(1),
        queue.purge,
        lambda: queue.driver.watch([(None, queue.name)]).wait(0),
        queue.driver.gc,
    ]

    for call in calls:
        server.ask("SCRIPT", "FLUSH")
        call()

    assert queue.stats()["claimed"] == queue.stats()["total"] == 1


def test_a_closed_driver_has_no_connection(uri, open_queue, connections):
    queue = open_queue(uri)
    watch = queue.driver.watch([(None, queue.name)])
    watch.wait(0.01)
    watch.close()

    queue.driver.close()

    assert first_answer(lambda: not connections())
    assert not queue.driver.is_alive()
