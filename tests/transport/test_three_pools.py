"""A SQLite file, a Redis and a MongoDB behind one connection, with the control store in each of them in turn."""

from __future__ import annotations

import pytest

from kombu_pool import drivers, errors
from kombu_pool.transport.consume.claiming import Claimer
from tests.support.limits import LIMIT
from tests.support.servers import mongodb
from tests.support.servers.mongodb import MongoServer
from tests.support.servers.redis_server import Server
from tests.support.servers.redis_shared import fresh_uri
from tests.support.transport.traffic import Inbox, declare, eventually, publish, take_all

QUEUES = {"file": "sqlite", "fast.one": "redis", "safe.one": "mongodb"}
PAUSED = ("redis", "mongodb")


@pytest.fixture(scope="module")
def servers():
    """The servers of two of the pools, which a test may stop as long as it starts them again."""
    with Server(appendonly="yes") as redis, MongoServer() as mongo:
        yield {"redis": redis, "mongodb": mongo}


@pytest.fixture(params=["sqlite", "redis", "mongodb"])
def control(request, tmp_path):
    """The URI of the control store, which is no pool."""
    make = {
        "sqlite": lambda: f"sqlite:///{tmp_path}/control.db",
        "redis": fresh_uri,
        "mongodb": lambda: mongodb.emptied_uri(tmp_path),
    }
    return make[request.param]()


@pytest.fixture
def seconds():
    """The timeout of a pool's client."""
    return LIMIT


@pytest.fixture
def pools(servers, tmp_path, seconds):
    """The URIs of the pools, by name."""
    limits = "&".join(f"{name}={int(1000 * seconds)}" for name in ("socketTimeoutMS", "serverSelectionTimeoutMS"))
    database = tmp_path.name[-30:].replace(".", "_")
    return {
        "sqlite": f"sqlite:///{tmp_path}/pool.db",
        "redis": f"{servers['redis'].uri()}?socket_timeout={seconds}&key_prefix={tmp_path.name}",
        "mongodb": f"{servers['mongodb'].uri(database)}?{limits}",
    }


@pytest.fixture
def channel(control, pools, opened):
    flavors = {"sqlite": None, "redis": "fast", "mongodb": "safe"}
    channel = opened(
        f"pool+{control}",
        pools=[{"name": name, "uri": uri, "flavor": flavors[name]} for name, uri in pools.items()],
        queue_flavors={"fast.*": "fast", "safe.*": "safe"},
    ).channel()
    declare(channel, *QUEUES)
    return channel


def stored(uri, queue):
    """Count the messages of a queue in a store."""
    driver = drivers.open_data(uri)
    try:
        if not driver.queue_controller.exists(queue):
            return 0
        return driver.queue_controller.stats(queue)["messages"]["total"]
    finally:
        driver.close()


def test_each_queue_lives_in_the_pool_of_its_flavor(channel, pools):
    for number, queue in enumerate(QUEUES, 1):
        publish(channel, queue, *range(number))

    found = {queue: {name: stored(uri, queue) for name, uri in pools.items()} for queue in QUEUES}

    empty = dict.fromkeys(pools, 0)
    assert found == {queue: {**empty, QUEUES[queue]: number} for number, queue in enumerate(QUEUES, 1)}
    assert [take_all(channel, queue) for queue in QUEUES] == [[0], [0, 1], [0, 1, 2]]


def test_one_consumer_has_messages_of_all_of_them(channel):
    inbox = Inbox(channel.connection.client, ack=True)
    for queue in QUEUES:
        channel.basic_consume(queue, callback=inbox)
        publish(channel, queue, *(f"{queue} {number}" for number in range(20)))

    inbox.wait_for(60)

    for queue in QUEUES:
        ours = [body for body in inbox.bodies if body.startswith(queue)]
        assert ours == [f"{queue} {number}" for number in range(20)]


@pytest.mark.parametrize("prefetch", [1, 8, 20])
def test_a_long_queue_does_not_keep_those_of_other_pools_waiting(channel, prefetch):
    inbox = Inbox(channel.connection.client, ack=True)
    channel.basic_qos(prefetch_count=prefetch)
    for queue in QUEUES:
        publish(channel, queue, *[queue] * 100)
    for queue in QUEUES:
        channel.basic_consume(queue, callback=inbox)

    inbox.wait_for(200)

    # A third is the fair share; a sixth is half of it.
    assert min(inbox.bodies[:200].count(queue) for queue in QUEUES) >= 33


def test_a_pool_with_nothing_to_do_is_left_alone_while_another_is_busy(channel, monkeypatch):
    asked = []
    claim = Claimer.claim
    monkeypatch.setattr(Claimer, "claim", lambda link, one, *how: asked.append(one.queue) or claim(link, one, *how))
    inbox = Inbox(channel.connection.client, ack=True)
    channel.basic_qos(prefetch_count=2)
    for queue in QUEUES:
        channel.basic_consume(queue, callback=inbox)
    eventually(lambda: {*asked} == {*QUEUES})
    asked.clear()

    publish(channel, "file", *range(200))
    inbox.wait_for(200)

    # A new watch is followed by one more claim.
    assert len([queue for queue in asked if queue != "file"]) <= 2 * len(PAUSED)


@pytest.mark.parametrize("source", QUEUES)
@pytest.mark.parametrize("target", QUEUES)
def test_a_dead_letter_goes_from_each_to_each(channel, source, target):
    if source == target:
        target = f"{target}.more"
        declare(channel, target)
    policy = {"_max_claim_count": 1, "_dead_letter_queue": target}
    channel.connection.broker.data.queue_controller.set_metadata(source, policy)
    publish(channel, source, {"job": 1})
    channel.basic_get(source).requeue()

    assert channel.basic_get(source) is None
    assert take_all(channel, target) == [{"job": 1}]


@pytest.mark.parametrize("seconds", [1.0])
@pytest.mark.parametrize("away", PAUSED)
def test_while_one_is_away_the_others_go_on(channel, servers, away):
    inbox = Inbox(channel.connection.client, ack=True)
    for queue in QUEUES:
        channel.basic_consume(queue, callback=inbox)
        publish(channel, queue, "before")
    inbox.wait_for(3)
    lost = next(queue for queue, pool in QUEUES.items() if pool == away)

    servers[away].pause()
    try:
        with pytest.raises(errors.PoolUnavailable, match=away):
            publish(channel, lost, "lost")
        for queue in set(QUEUES) - {lost}:
            publish(channel, queue, "during")
        inbox.wait_for(5)
    finally:
        servers[away].resume()
    eventually(lambda: published(channel, lost, "after"))
    while "after" not in inbox.bodies:
        inbox.wait_for(len(inbox.messages) + 1)

    assert inbox.bodies.count("during") == 2


def published(channel, queue, body):
    try:
        publish(channel, queue, body)
    except errors.PoolUnavailable:
        return False
    return True
