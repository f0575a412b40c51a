from __future__ import annotations

import multiprocessing

import pytest

from kombu_pool import codec, drivers
from kombu_pool.clock import SYSTEM_CLOCK
from kombu_pool.drivers.redis.client import Client
from kombu_pool.drivers.redis.keys import queue_keys
from kombu_pool.drivers.redis.location import locate
from kombu_pool.drivers.redis.subscriptions import SubscriptionController
from kombu_pool.testing import ManualClock
from tests.support.servers.redis_shared import fresh_uri

QUEUE = "q"
SUBSCRIBERS = [f"http://{number}" for number in range(200)]


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def uri():
    return fresh_uri()


@pytest.fixture
def redis_client(uri):
    opened = Client(locate(drivers.parse(uri), {}, None))
    yield opened
    opened.close()


@pytest.fixture
def keys(redis_client):
    return queue_keys(redis_client.location.key_prefix, None, QUEUE)


@pytest.fixture
def subscriptions(redis_client, keys, clock):
    redis_client.command("HSET", keys.queue, "last", 0)
    return SubscriptionController(redis_client, clock)


def stored_ids(redis_client, keys):
    return [found_id for found_id, *_ in codec.decode(redis_client.command("GET", keys.subscriptions))]


def create_all(uri):
    """Create all subscriptions, in another process."""
    redis_client = Client(locate(drivers.parse(uri), {}, None))
    controller = SubscriptionController(redis_client, SYSTEM_CLOCK)
    created = [controller.create(QUEUE, subscriber, 60, {}) for subscriber in SUBSCRIBERS]
    redis_client.close()
    return created


def test_of_two_processes_one_makes_a_subscription(subscriptions, uri):
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(2)
    with context.Pool(2, initializer=together.wait) as processes:
        created = processes.map(create_all, [uri, uri], chunksize=1)

    winners = [first or second for first, second in zip(*created, strict=True)]
    assert all((first is None) != (second is None) for first, second in zip(*created, strict=True))
    assert len(set(winners)) == len(SUBSCRIBERS)
    for subscriber, winner in zip(SUBSCRIBERS, winners, strict=True):
        assert subscriptions.get_with_subscriber(QUEUE, subscriber)["id"] == winner


def test_collecting_leaves_nothing_of_what_has_expired(subscriptions, redis_client, keys, clock):
    subscriptions.create(QUEUE, "http://a", 60, {})
    renamed = subscriptions.create(QUEUE, "http://b", 60, {})
    subscriptions.update(QUEUE, renamed, subscriber="http://c")
    kept = subscriptions.create(QUEUE, "http://d", 0, {})
    clock.advance(60)

    assert subscriptions.collect(None, QUEUE) == 2
    assert subscriptions.collect(None, QUEUE) == 0
    assert stored_ids(redis_client, keys) == [kept]
    subscriptions.delete(QUEUE, kept)
    assert not redis_client.command("EXISTS", keys.subscriptions)


def test_a_subscriber_takes_over_the_place_of_an_expired_subscription(subscriptions, redis_client, keys, clock):
    subscriptions.create(QUEUE, "http://a", 60, {})
    subscriptions.create(QUEUE, "http://b", 60, {})
    other = subscriptions.create(QUEUE, "http://c", 0, {})
    clock.advance(60)

    again = subscriptions.create(QUEUE, "http://a", 0, {})
    subscriptions.update(QUEUE, other, subscriber="http://b")

    assert subscriptions.get_with_subscriber(QUEUE, "http://a")["id"] == again
    assert subscriptions.get_with_subscriber(QUEUE, "http://b")["id"] == other
    assert subscriptions.collect(None, QUEUE) == 0
    assert stored_ids(redis_client, keys) == [other, again]


def test_an_id_is_given_once_though_the_clock_stands(subscriptions):
    first = subscriptions.create(QUEUE, "http://a", 60, {})
    subscriptions.delete(QUEUE, first)

    assert subscriptions.create(QUEUE, "http://a", 60, {}) > first


def test_a_subscriber_cannot_be_taken_for_an_id(subscriptions):
    subscriptions.create(QUEUE, "http://a", 60, {})

    subscriptions.delete(QUEUE, "=http://a")

    assert not subscriptions.exists(QUEUE, "=http://a")
    assert subscriptions.create(QUEUE, "http://a", 60, {}) is None


def test_any_text_may_subscribe(subscriptions):
    for subscriber in ("", "=", "0" * 16, "\udcff🐇"):
        created = subscriptions.create(QUEUE, subscriber, 1.5, {})

        assert subscriptions.get(QUEUE, created)["subscriber"] == subscriber
        assert subscriptions.get_with_subscriber(QUEUE, subscriber)["id"] == created


def test_the_subscriptions_of_an_absent_queue_expire_with_the_last_of_them(redis_client, keys, clock):
    subscriptions = SubscriptionController(redis_client, clock)

    def seconds_left():
        return redis_client.command("PTTL", keys.subscriptions) / 1000

    subscriptions.create(QUEUE, "http://a", 600, {})
    first = subscriptions.create(QUEUE, "http://b", 300, {})
    assert 590 < seconds_left() <= 600
    unending = subscriptions.create(QUEUE, "http://c", 0, {})
    assert seconds_left() < 0
    subscriptions.delete(QUEUE, unending)
    assert 590 < seconds_left() <= 600
    subscriptions.update(QUEUE, first, ttl=900)
    assert 890 < seconds_left() <= 900
    redis_client.command("HSET", keys.queue, "last", 0)
    subscriptions.create(QUEUE, "http://d", 60, {})
    assert seconds_left() < 0


def test_two_subscriptions_of_an_absent_queue_have_two_ids_though_the_clock_stands(redis_client, clock):
    subscriptions = SubscriptionController(redis_client, clock)

    created = [subscriptions.create(QUEUE, f"http://{number}", 60, {}) for number in range(3)]

    assert len(set(created)) == 3
