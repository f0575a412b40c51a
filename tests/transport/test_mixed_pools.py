"""A Redis and an SQLite file behind one connection: each serves its queues during an outage of the other."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from kombu_pool import drivers, errors
from tests.support.limits import LONG_TEST, best_of, seconds_of
from tests.support.servers.redis_server import Server
from tests.support.transport.traffic import Inbox, consume, declare, eventually, publish, take_all

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONG_TEST)]

#: Timeout of the pool's client, in seconds.
SOCKET_TIMEOUT = 1.0
#: Bound of the time until a pool's return is noticed, in seconds: the longest pause and one attempt.
RETURN = 2.5 + SOCKET_TIMEOUT
#: Bound of the delay of a message on a busy machine, in seconds.
PROMPT = 0.5


@pytest.fixture
def server():
    """The Redis that is a pool; its data survives a restart."""
    with Server(appendonly="yes", appendfsync="always") as server:
        yield server


@pytest.fixture
def control_server():
    with Server() as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
def control(request, tmp_path):
    """The control store's URI."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/control.db"
    return request.getfixturevalue("control_server").uri()


@pytest.fixture
def pools(server, tmp_path):
    """The URIs of the pools, by name: fast.* are in the Redis, all other queues in the file."""
    return {"redis": f"{server.uri()}?socket_timeout={SOCKET_TIMEOUT}", "sqlite": f"sqlite:///{tmp_path}/pool.db"}


@pytest.fixture
def connect(control, pools, opened):
    """Open a channel: ``connect(**transport_options)``."""
    options = {
        "pools": [
            {"name": "redis", "uri": pools["redis"], "flavor": "fast"},
            {"name": "sqlite", "uri": pools["sqlite"]},
        ],
        "queue_flavors": {"fast.*": "fast"},
    }
    return lambda **others: opened(f"pool+{control}", **options, **others).channel()


@pytest.fixture
def channel(connect):
    channel = connect()
    declare(channel, "plain", "fast.one")
    return channel


@pytest.fixture
def inbox(channel):
    return consume_both(channel)


def consume_both(channel):
    """Consume from both queues on one connection; a message of each was delivered."""
    inbox = Inbox(channel.connection.client, ack=True)
    for queue in ("plain", "fast.one"):
        channel.basic_consume(queue, callback=inbox)
        publish(channel, queue, "warm up")
    inbox.wait_for(2)
    inbox.messages.clear()
    return inbox


def stored(uri, queue):
    """Count the messages of a queue in a store, claimed ones too."""
    driver = drivers.open_data(uri)
    try:
        if not driver.queue_controller.exists(queue):
            return 0
        return driver.queue_controller.stats(queue)["messages"]["total"]
    finally:
        driver.close()


def slowest(channel, inbox, queue, number=20):
    """Publish and consume messages one after the other; return the longest delay."""
    taken = []
    for _ in range(number):
        begun = time.monotonic()
        publish(channel, queue, "a")
        inbox.wait_for(len(inbox.messages) + 1)
        taken.append(time.monotonic() - begun)
    return max(taken)


def test_queues_of_both_flavors_work(channel, pools):
    for queue in ("plain", "fast.one"):
        publish(channel, queue, "a", "b")

    assert [stored(uri, "fast.one") for uri in pools.values()] == [2, 0]
    assert [stored(uri, "plain") for uri in pools.values()] == [0, 2]
    assert [take_all(channel, queue) for queue in ("plain", "fast.one")] == [["a", "b"], ["a", "b"]]


@pytest.mark.parametrize(("source", "target"), [("plain", "fast.one"), ("fast.one", "plain")])
def test_a_dead_letter_arrives_in_the_other_pool(channel, pools, source, target):
    policy = {"_max_claim_count": 2, "_dead_letter_queue": target}
    channel.connection.broker.data.queue_controller.set_metadata(source, policy)
    publish(channel, source, {"job": 1})
    for _ in range(2):
        channel.basic_get(source).requeue()

    assert channel.basic_get(source) is None

    assert [stored(uri, source) for uri in pools.values()] == [0, 0]
    assert take_all(channel, target) == [{"job": 1}]


@pytest.mark.parametrize(("ends", "returns"), [("pause", "resume"), ("kill", "restart")])
def test_while_the_redis_is_away_the_other_pool_goes_on_and_its_return_is_noticed(
    server, channel, inbox, caplog, ends, returns
):
    def slowness():
        """Return the longest delay and the time until the return is noticed, as the larger fraction of its bound."""
        caplog.clear()
        inbox.messages.clear()
        getattr(server, ends)()
        with pytest.raises(errors.PoolUnavailable, match="'redis'"):
            publish(channel, "fast.one", "lost")
        delay = slowest(channel, inbox, "plain")
        eventually(lambda: "is unreachable" in caplog.text)
        delay = max(delay, slowest(channel, inbox, "plain"))
        getattr(server, returns)()
        noticed = seconds_of(lambda: _return(channel, inbox))
        return max(delay / PROMPT, noticed / RETURN)

    assert best_of(slowness, 1) < 1


def _return(channel, inbox):
    """Wait until the Redis takes and delivers a message."""
    eventually(lambda: _published(channel, "fast.one", "found"))
    eventually(lambda: "found" in _drained(inbox))


def _published(channel, queue, body):
    try:
        publish(channel, queue, body)
    except errors.PoolUnavailable:
        return False
    return True


def _drained(inbox):
    with suppress(TimeoutError):
        inbox.wait_for(len(inbox.messages) + 1, limit=0.1)
    return inbox.bodies


def test_claims_in_the_other_pool_are_renewed_in_time_while_the_redis_answers_no_call(server, connect):
    channel = connect(claim_ttl=6.0)
    declare(channel, "plain", "fast.one")
    publish(channel, "fast.one", *range(20))
    publish(channel, "plain", "ours")
    held = [channel.basic_get(queue) for queue in ["fast.one"] * 20 + ["plain"]]
    theirs = consume(connect(ack_delay=0.003), "plain")

    server.pause()
    with pytest.raises(TimeoutError):
        theirs.wait_for(1, limit=8.0)
    server.resume()

    assert held[-1].payload == "ours"


def test_acknowledgements_in_the_other_pool_go_out_while_the_redis_answers_no_call(server, channel, pools):
    queues = [f"fast.{number}" for number in range(5)]
    declare(channel, *queues)
    for queue in [*queues, "plain"]:
        publish(channel, queue, "a")
    held = [channel.basic_get(queue) for queue in [*queues, "plain"]]

    server.pause()
    for message in held:
        message.ack()
    eventually(lambda: stored(pools["sqlite"], "plain") == 0)
    server.resume()

    eventually(lambda: all(stored(pools["redis"], queue) == 0 for queue in queues))


@pytest.mark.parametrize("control", ["redis"], indirect=True)
def test_known_queues_go_on_without_the_control_store_and_declaring_says_what_is_wrong(
    control_server, channel, monkeypatch
):
    catalog = channel.connection.broker.data.catalog
    for trusting in (catalog, catalog.open_pools):
        monkeypatch.setattr(trusting, "_ttl", 0.2)
    inbox = consume_both(channel)

    control_server.kill()

    def delay():
        longest, begun = 0.0, time.monotonic()
        # Several times the cache ttl of the catalogue.
        while time.monotonic() < begun + 2:
            longest = max(longest, *(slowest(channel, inbox, queue, 5) for queue in ("plain", "fast.one")))
        return longest

    # Neither the queue's pool nor the pool's store answers.
    assert best_of(delay, 4 * PROMPT) < 4 * PROMPT
    with pytest.raises(errors.ConnectionError, match=str(control_server.port)):
        declare(channel, "new")
    control_server.restart()
