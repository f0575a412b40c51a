"""Declaring and publishing while a pool is down, what its errors say, and its return."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest
from amqp.exceptions import RecoverableConnectionError
from kombu.exceptions import OperationalError

from kombu_pool import errors
from kombu_pool.transport.publish.unconfirmed import Backoff
from tests.support.limits import LONG_TEST, best_of
from tests.support.servers.mongodb.replica_set import ReplicaSet
from tests.support.servers.ports import free_port
from tests.support.servers.redis_server import Server
from tests.support.transport.pool_outages import Outages
from tests.support.transport.traffic import Inbox, count, declare, exists, publish, take_all


@pytest.fixture
def pools(store, tmp_path):
    """The URIs of the pools a and b, which have no flavor."""
    return {name: store.uri(tmp_path) for name in ("a", "b")}


@pytest.fixture
def outages(monkeypatch, pools):
    return Outages(monkeypatch, pools)


@pytest.fixture
def options(pools, outages):
    return {"pools": [{"name": name, "uri": uri} for name, uri in pools.items()]}


@pytest.fixture
def channel(connect, options):
    return connect(**options).channel()


@pytest.fixture
def catalog(channel):
    return channel.connection.broker.data.catalog


def declared_in(channel, catalog, pool):
    """Declare queues until one is in that pool; return its name."""
    for number in range(100):
        declare(channel, f"{pool}{number}")
        if catalog.pool_of(f"{pool}{number}") == pool:
            return f"{pool}{number}"
    raise AssertionError(f"no queue is in {pool}")


def test_a_known_queue_of_a_pool_that_is_down_is_declared_with_no_messages(channel, catalog, outages):
    queue = declared_in(channel, catalog, "a")
    publish(channel, queue, "x")
    outages.switch_off("a")

    answers = [channel.queue_declare(queue, durable=True, auto_delete=False) for _ in range(2)]
    with pytest.raises(errors.PoolUnavailable, match="'a'"):
        count(channel, queue)

    assert answers == [(queue, 0, 0)] * 2
    outages.switch_on("a")
    assert take_all(channel, queue) == ["x"]


def test_a_known_queue_of_a_pool_that_is_down_is_deleted_and_its_messages_once_the_pool_answers(
    channel, catalog, outages
):
    queue = declared_in(channel, catalog, "a")
    publish(channel, queue, "x")
    outages.switch_off("a")

    assert channel.queue_delete(queue) == 0

    assert not exists(channel, queue)
    outages.switch_on("a")
    channel.connection.broker.data.queue_controller.end_deletions()
    declare(channel, queue)
    assert count(channel, queue) == 0


def test_new_queues_are_in_the_pool_that_answers(channel, catalog, outages):
    outages.switch_off("a")

    declare(channel, *(f"q{number}" for number in range(10)))

    assert {catalog.pool_of(f"q{number}") for number in range(10)} == {"b"}


def test_no_queue_is_declared_while_no_pool_answers(channel, catalog, outages):
    for name in ("a", "b"):
        outages.switch_off(name)

    with pytest.raises(channel.connection.client.connection_errors, match="is unreachable"):
        declare(channel, "q")

    assert not channel.connection.broker.data.queue_controller.exists("q")


CONTROL_QUEUES = [
    {"exclusive": True},
    {"auto_delete": True},
    {"arguments": {"x-expires": 60_000}},
]


@pytest.mark.parametrize("properties", CONTROL_QUEUES)
def test_a_control_queue_needs_no_pool(channel, catalog, outages, properties):
    for name in ("a", "b"):
        outages.switch_off(name)
    channel.queue_declare("replies", **{"auto_delete": False, **properties})
    inbox = Inbox(channel.connection.client, ack=True)
    channel.basic_consume("replies", callback=inbox)

    publish(channel, "replies", "pong")

    assert inbox.wait_for(1)[0].payload == "pong"
    assert catalog.pool_of("replies") == "kombu_pool.control"


def test_a_control_queue_with_a_flavor_is_in_a_pool_of_it(connect, options, pools):
    flavored = {"pools": [{"name": "a", "uri": pools["a"]}, {"name": "b", "uri": pools["b"], "flavor": "fast"}]}
    channel = connect(**options | flavored).channel()

    channel.queue_declare("replies", auto_delete=True, arguments={"x-pool-flavor": "fast"})

    assert channel.connection.broker.data.catalog.pool_of("replies") == "b"


def test_a_flavor_of_queues_without_a_pool_is_found_by_the_first_connection(connect, options):
    connection = connect(**options, queue_flavors={"slow.*": "slow"})

    with pytest.raises(errors.ConfigurationError, match=r"queue_flavors gives the queues 'slow\.\*' the flavor 'slow'"):
        connection.channel()


def unreachable_pools(folder):
    """Return URIs of pools that cannot be reached, each with the address and the reason that its error shows."""
    port = free_port()
    return {
        "closed port": (f"redis://:s3cret@127.0.0.1:{port}/0", f"127.0.0.1:{port}", "Connection refused"),
        "unknown host": ("redis://:s3cret@host.invalid/0", "host.invalid", ""),
        "no socket": (f"redis+socket://{folder}/redis.sock", f"{folder}/redis.sock", "No such file or directory"),
        "cluster": (f"redis+cluster://:s3cret@127.0.0.1:{port}", f"127.0.0.1:{port}", "Connection refused"),
        "mongodb": (
            f"mongodb://user:s3cret@127.0.0.1:{port}/db?serverSelectionTimeoutMS=500",
            f"127.0.0.1:{port}",
            "Connection refused",
        ),
    }


#: The store of the control plane in tests about the store of a pool.
one_control_store = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@one_control_store
@pytest.mark.parametrize("case", ["closed port", "unknown host", "no socket", "cluster", "mongodb"])
def test_an_error_names_the_pool_and_its_address_once_and_no_password(tmp_path, connect, case, caplog):
    uri, address, reason = unreachable_pools(tmp_path)[case]
    channel = connect(pools=[{"name": "remote", "uri": uri}]).channel()

    with pytest.raises(errors.PoolUnavailable, match="Pool 'remote' is unreachable: ") as raised:
        declare(channel, "q")

    logged = [record.getMessage() for record in caplog.records]
    about_it = [text for text in logged if any(part in text for part in ("remote", address, "s3cret"))]
    assert about_it
    for text in (str(raised.value), *about_it):
        assert text.count("remote") == text.count(address) == 1
        assert reason in text
        assert "s3cret" not in text
        assert "\n" not in text
        assert len(text) < 200


SERVERS = {"redis": lambda: Server(appendonly="yes"), "mongodb": ReplicaSet}
#: Bound of the time from the return of a pool until a publish that is tried again is confirmed, in seconds.
RETURN = 1.0
#: Kombu's retry policy of a publish that is tried until it succeeds.
FOREVER = {"max_retries": None, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2}


@pytest.fixture(params=SERVERS)
def server(request):
    with SERVERS[request.param]() as server:
        yield server


@pytest.fixture
def producer(server, connect):
    channel = connect(pools=[{"name": "remote", "uri": server.uri()}]).channel()
    declare(channel, "q")
    producer = channel.connection.client.Producer()
    producer.publish("first", routing_key="q")
    return producer


@pytest.mark.slow
@pytest.mark.timeout(LONG_TEST)
@one_control_store
@pytest.mark.parametrize(("ends", "returns"), [("kill", "restart"), ("pause", "resume")])
def test_a_publish_that_is_tried_again_succeeds_within_a_second_of_the_pools_return(server, producer, ends, returns):
    def delay():
        """Return the time from the server's return until the publish is confirmed, in seconds."""
        getattr(server, ends)()
        confirmed = []

        def publish_again():
            producer.publish("again", routing_key="q", retry=True, retry_policy=FOREVER)
            confirmed.append(time.monotonic())

        thread = threading.Thread(target=publish_again)
        thread.start()
        time.sleep(2.0)  # until the pauses between the tries have their full length
        getattr(server, returns)()
        returned = time.monotonic()
        thread.join()
        return confirmed[0] - returned

    assert best_of(delay, RETURN) < RETURN


@one_control_store
@pytest.mark.parametrize("server", ["redis"], indirect=True)
def test_a_publish_is_tried_ever_more_seldom_while_its_pool_is_down(server, producer):
    failures = []
    server.kill()
    policy = {**FOREVER, "max_retries": 8, "errback": lambda error, interval: failures.append(time.monotonic())}

    with pytest.raises(OperationalError, match="Pool 'remote' is unreachable"):
        producer.publish("again", routing_key="q", retry=True, retry_policy=policy)

    # A pause is at least three quarters of its length, and begins a little before Kombu tells of the failure.
    shortest = [0.7 * min(Backoff.FIRST * 2**number, Backoff.LAST) for number in range(len(failures) - 1)]
    assert len(failures) > policy["max_retries"] // 2
    assert all(later - earlier > pause for (earlier, later), pause in zip(pairwise(failures), shortest, strict=True))


@pytest.mark.parametrize("how", ["close", "abandon"])
def test_a_publish_on_a_closed_connection_is_stored_or_says_that_it_is_closed(channel, connect, how):
    declare(channel, "q")
    getattr(channel.connection, how)()

    try:
        publish(channel, "q", "x")
    except RecoverableConnectionError as error:
        told = ["x"] if "closed" in str(error) else []
    else:
        told = take_all(connect().channel(), "q")

    assert told == ["x"]
