"""Calls whose reply is lost: the driver cannot know whether they ran."""

from __future__ import annotations

import pytest

from kombu_pool import errors
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.testing import ManualClock, bodies, ids
from tests.support.servers.proxy import Proxy
from tests.support.servers.redis_server import Server


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


@pytest.fixture
def proxy(server):
    server.ask("FLUSHALL")
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def queue(proxy, open_queue):
    """An empty queue, used through the proxy; the server has its scripts."""
    queue = open_queue(proxy.uri)
    queue.post("warm", "up")
    held = queue.claim(limit=1)
    queue.renew(held.id)
    queue.release(held.id, [])
    queue.end(held.id)
    held = queue.claim()
    queue.delete_claimed([(ids(held)[0], held.id)])
    queue.delete(ids(held)[1], claim=held.id)
    queue.delete_all(ids(held))
    queue.get_all(ids(held))
    return queue


@pytest.fixture
def direct(server, open_queue, queue):
    """The same queue, used without the proxy."""
    return open_queue(server.uri())


def sha_of(name):
    return script(name).sha


def test_a_post_is_not_repeated(proxy, queue, direct):
    proxy.lose_answer_to(sha_of("post"))

    with pytest.raises(errors.ConnectionError):
        queue.post("a")

    assert direct.all() == ["a"]
    queue.post("b")
    assert direct.all() == ["a", "b"]


def test_a_claim_whose_answer_is_lost_is_released(proxy, queue, direct):
    queue.post("a", "b")
    proxy.lose_answer_to(sha_of("claim"))

    with pytest.raises(errors.ConnectionError):
        queue.claim()

    assert direct.claim().id is None
    assert bodies(queue.claim()) == ["a", "b"]


def test_a_pop_whose_answer_is_lost_loses_nothing(proxy, queue, direct):
    queue.post("a", "b")
    proxy.lose_answer_to(sha_of("claim"))

    with pytest.raises(errors.ConnectionError):
        queue.pop()

    assert bodies(queue.pop()) == ["a", "b"]
    assert direct.all() == []


def test_a_renewal_is_repeated(proxy, queue):
    queue.post("a")
    held = queue.claim()
    proxy.lose_answer_to(sha_of("renew"))

    queue.renew(held.id, ttl=600)

    assert queue.claim_of(held.id)[0]["ttl"] == 600


def test_a_read_is_repeated(proxy, queue):
    (message_id,) = queue.post("a")
    proxy.lose_answer_to(sha_of("get_many"))

    assert queue.get(message_id)["body"] == "a"


def test_deletions_are_repeated(proxy, queue, direct):
    first, second = queue.post("a", "b")
    held = queue.claim(limit=1)

    proxy.lose_answer_to(sha_of("delete"))
    queue.delete(first, claim=held.id)
    proxy.lose_answer_to(sha_of("delete_many"))
    queue.delete_all([second])

    assert direct.all() == []


def test_an_acknowledgement_whose_answer_is_lost_is_refused_when_it_is_repeated(proxy, queue, direct):
    queue.post("a")
    held = queue.claim()
    pairs = [(ids(held)[0], held.id)]
    proxy.lose_answer_to(sha_of("ack"))

    with pytest.raises(errors.ConnectionError):
        queue.delete_claimed(pairs)

    assert direct.all() == []
    assert queue.delete_claimed(pairs) == pairs


def test_a_release_whose_answer_is_lost_has_released(proxy, queue, direct):
    queue.post("a")
    held = queue.claim()
    proxy.lose_answer_to(sha_of("release"))

    with pytest.raises(errors.ConnectionError):
        queue.release(held.id, ids(held))

    assert direct.free() == ["a"]


def test_a_pop_that_takes_too_long_gives_away_nothing_that_others_hold_now(server, proxy, open_queue):
    clock = ManualClock()
    slow, quick = open_queue(proxy.uri, clock=clock), open_queue(server.uri(), clock=clock)
    quick.post("a", "b")
    taken = []

    def outlast():
        clock.advance(3600)
        taken.append(quick.claim(limit=1))

    proxy.before(sha_of("ack"), outlast)
    popped = slow.pop()

    assert bodies(popped) == []
    assert bodies(taken[0]) == ["a"]
    assert quick.free() == ["b"]
    assert quick.claimed_by(taken[0]) == ["a"]
