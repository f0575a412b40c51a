"""Refusals of a server: out of memory, a replica, busy, loading or too old."""

from __future__ import annotations

import logging
import threading

import pytest
import redis

from kombu_pool import drivers, errors
from kombu_pool.drivers.redis import error_mapping, server_check
from kombu_pool.drivers.redis.keys import queue_keys
from kombu_pool.drivers.redis.location import locate
from kombu_pool.testing import ManualClock, QueueHandle, bodies, ids
from tests.support.limits import LIMIT
from tests.support.servers.redis_server import Server
from tests.support.servers.waiting import first_answer

MIB = 1024 * 1024
ENDLESS = "while true do end"


@pytest.fixture(scope="module")
def server():
    with Server(maxmemory_policy="noeviction", lua_time_limit=50, repl_diskless_sync_delay=0) as server:
        yield server


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def queue(server, open_queue, clock):
    server.ask("CONFIG", "SET", "maxmemory", 0)
    server.ask("FLUSHALL")
    open_queue(server.uri(), "dead", clock=clock)
    return open_queue(server.uri(), metadata={"_max_claim_count": 3, "_dead_letter_queue": "dead"}, clock=clock)


@pytest.fixture
def location(uri):
    return locate(drivers.parse(uri), {}, None)


@pytest.fixture
def full(server, queue):
    """The queue, with so many messages that the server has no memory for more."""
    queue.post("early", ttl=1000)
    server.ask("CONFIG", "SET", "maxmemory", server.client().info("memory")["used_memory"] + 8 * MIB)
    with pytest.raises(errors.StoreFull, match="maxmemory"):
        post_until_refused(queue, *[bytes(10_000)] * 10)
    with pytest.raises(errors.StoreFull, match="maxmemory"):
        post_until_refused(queue, "late", "and later")
    yield queue
    server.ask("CONFIG", "SET", "maxmemory", 0)


def post_until_refused(queue, *bodies):
    while True:
        queue.post(*bodies)


def wait_until_freed(server):
    """Wait until the server has freed what was deleted, which it does in the background."""
    first_answer(lambda: server.client().info("memory")["lazyfree_pending_objects"] == 0)


# Memory.


def test_a_post_that_finds_no_memory_names_the_setting_and_stores_nothing(full):
    assert full.all()[-2:] == ["late", "and later"]


def test_a_consumer_makes_room(full):
    waiting = full.count()

    held = full.claim(limit=100, ttl=600, grace=60)
    full.renew(held.id, ttl=1200, grace=60)
    assert full.release(held.id, ids(held)[:10]) == 10
    assert full.delete_claimed([(ids(held)[10], held.id)]) == []
    full.delete(ids(held)[11], claim=held.id)
    full.end(held.id)
    popped = full.pop(50)
    full.delete_all(ids(full.page(limit=50)[0]))

    assert bodies(held)[0] == "early"
    assert len(popped) == 50
    assert full.count() == waiting - 2 - 50 - 50
    full.post("room again")


def test_a_full_store_keeps_time(full, clock):
    held = full.claim(limit=10, ttl=10)
    clock.advance(11)

    assert full.stats()["claimed"] == 0
    clock.advance(1000)
    assert full.first()["body"] != "early"
    assert full.driver.gc() == 0
    with pytest.raises(errors.ClaimDoesNotExist):
        full.renew(held.id)


def test_a_full_store_can_be_purged(full, server):
    held = full.claim(limit=3)
    full.end(full.claim(limit=20).id)
    waiting = full.count()

    assert full.purge() == waiting

    assert len(full.claimed_by(held)) == 3
    wait_until_freed(server)
    full.post("room again")


def test_a_full_store_can_be_deleted(full, server):
    full.drop()

    wait_until_freed(server)
    assert full.create() is True


def test_a_full_store_takes_dead_letters(full, clock):
    for _ in range(3):
        full.claim(limit=50, ttl=10)
        clock.advance(10)
    waiting = full.count()

    held = full.claim(limit=50)

    dead = QueueHandle(full.driver, "dead", None)
    assert dead.count() == 50
    assert dead.first()["body"] == "early"
    assert len(full.claimed_by(held)) == 50
    assert full.count() == waiting - 100


def test_a_full_store_buries_what_is_rejected_and_what_expires(server, full, clock):
    most = server.client().config_get("maxmemory")["maxmemory"]
    server.ask("CONFIG", "SET", "maxmemory", 0)
    metadata = {"_dead_letter_queue": "dead", "_dead_letter_expired": True}
    full.driver.queue_controller.set_metadata(full.name, metadata)
    server.ask("CONFIG", "SET", "maxmemory", most)
    early, *rejected = full.page(limit=51)[0]
    held = full.claim(limit=51)
    full.release(held.id, [early["id"]])
    held.messages.pop(0)
    dead = QueueHandle(full.driver, "dead", None)

    assert full.reject(held) == []
    assert dead.count() == len(rejected)
    clock.advance(1000)
    assert full.driver.dead_letter_all() == 1
    assert dead.free()[-1] == "early"


def test_a_full_store_may_delete_what_is_rejected(full):
    full.driver.queue_controller.set_metadata(full.name, {})
    waiting = full.count()

    assert full.reject(full.claim(limit=50)) == []

    assert full.count() == waiting - 50


def test_a_watch_sees_what_waits_in_a_full_store(full):
    watch = full.driver.watch([(None, full.name)])

    assert watch.wait(LIMIT) is True
    watch.close()


def test_a_server_that_may_evict_messages_is_warned_of_once(caplog, open_driver):
    with Server(maxmemory_policy="allkeys-lru") as server, caplog.at_level(logging.WARNING):
        for driver in (open_driver(server.uri()), open_driver(server.uri())):
            driver.queue_controller.create("q")
            driver.watch([(None, "q")]).wait(0.01)

        assert [record.message.count("allkeys-lru") for record in caplog.records] == [1]
        assert "noeviction" in caplog.text


# Replicas, scripts and loading.


def test_a_replica_says_that_it_is_one(server, queue, open_driver):
    queue.post("a")
    with Server(replicaof=f"127.0.0.1 {server.port}") as replica:
        first_answer(lambda: replica.ask("EXISTS", queue_keys("kombu-pool", None, queue.name).queue))
        driver = open_driver(replica.uri())

        with pytest.raises(errors.ConnectionError, match="read-only replica"):
            driver.message_controller.post(queue.name, [{"ttl": None, "body": "b"}], None)

        assert driver.message_controller.count(queue.name) == 1


def test_a_server_that_runs_an_endless_script_says_so_and_works_afterwards(server, queue):
    queue.post("a")
    endless = threading.Thread(target=run_without_end, args=(server,))
    endless.start()
    # From the first BUSY reply on, every client gets one.
    first_answer(lambda: is_busy(server))

    with pytest.raises(errors.ConnectionError, match="busy with a script"):
        queue.post("b")
    with pytest.raises(errors.ConnectionError, match="busy with a script"):
        queue.claim()

    server.ask("SCRIPT", "KILL")
    endless.join()
    queue.post("c")
    assert bodies(queue.claim()) == ["a", "c"]


def run_without_end(server):
    with pytest.raises(Exception, match="killed"):
        server.client().eval(ENDLESS, 0)


def is_busy(server):
    try:
        server.client().get("anything")
    except Exception as error:  # noqa: BLE001 - of any class
        return "BUSY" in str(error)
    return False


def test_a_server_that_reads_its_data_says_so_and_works_afterwards(client, open_queue):
    # While it loads, it replies each time it has read so many bytes.
    interval = "loading-process-events-interval-bytes"
    if not client.config_get(interval):
        pytest.skip("it does not reply while it loads so little")
    with Server(key_load_delay=10_000, rdbcompression="no", **{interval: 1024}) as server:
        queue = open_queue(server.uri())
        queue.post("a")
        for number in range(100):
            server.ask("SET", f"foreign {number}", bytes(2048))
        server.ask("SAVE")
        server.kill()
        starting = threading.Thread(target=server.restart)
        starting.start()

        assert first_answer(lambda: "loading its data" in complaint(queue))

        starting.join()
        assert queue.count() == 1


def complaint(queue):
    try:
        queue.count()
    except errors.ConnectionError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("what", ["execute a command", "execute a write command"])
def test_a_script_that_finds_the_cluster_down_is_an_outage(what):
    error = redis.ResponseError(
        f"Script attempted to {what} while the cluster is down script: 5de0, on @user_script:1."
    )

    assert isinstance(error_mapping.translation(error, "redis+cluster://host"), errors.ConnectionError)


def test_a_server_that_is_too_old_is_refused(location):
    with pytest.raises(errors.IncompatibleStore, match=r"6\.0\.16.*6\.2 or newer"):
        server_check.check_info({"redis_version": "6.0.16"}, location)


@pytest.mark.parametrize("version", ["6.2.0", "7.0.15", "8.2", "10.0.0", ""])
def test_a_server_that_is_new_enough_is_taken(location, version):
    server_check.check_info({"redis_version": version}, location)


# Foreign keys.


@pytest.mark.parametrize("part", ["queue", "records"])
def test_a_key_that_holds_something_else_is_told(client, queue, uri, open_driver, part):
    driver = open_driver(uri)
    driver.queue_controller.create("q")
    key = getattr(queue_keys("kombu-pool", None, "q"), part)
    client.delete(key)
    client.set(key, "another value")

    with pytest.raises(errors.IncompatibleStore, match="key_prefix"):
        driver.message_controller.post("q", [{"ttl": None, "body": "a"}], None)

    assert client.get(key) == b"another value"


def test_a_key_prefix_keeps_two_stores_apart(uri, open_queue):
    ours, theirs = open_queue(uri), open_queue(f"{uri}?key_prefix=theirs")
    ours.post("a")

    assert theirs.all() == []
    assert theirs.driver.health()["queues"] == 1


def test_a_database_that_the_server_has_not_is_told(open_driver):
    with Server(databases=2) as server:
        driver = open_driver(server.uri(5))

        with pytest.raises(errors.ConfigurationError, match="no database of that number"):
            driver.queue_controller.exists("q")
