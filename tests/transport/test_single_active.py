"""Queues with ``x-single-active-consumer``."""

from __future__ import annotations

from itertools import pairwise

import pytest

from kombu_pool.transport.consume.claiming import Claimer
from kombu_pool.transport.consume.single_active import PREFIX, SingleActiveConsumer
from tests.support.transport.traffic import consume, count, declare, eventually, exists, publish

ALONE = {"x-single-active-consumer": True}


@pytest.fixture
def queue(channel):
    declare(channel, "q", arguments=ALONE)
    return "q"


def test_one_consumer_gets_all(channel, elsewhere, queue):
    first = consume(channel, queue, ack=True)
    publish(channel, queue, "a")
    first.wait_for(1)
    second = consume(elsewhere.channel(), queue)
    publish(channel, queue, *"bcd")

    first.wait_for(4)

    assert first.bodies == ["a", "b", "c", "d"]
    second.expect_no_more()
    assert second.bodies == []


def test_the_next_takes_over_when_the_first_is_cancelled(channel, elsewhere, queue):
    first = consume(channel, queue, consumer_tag="first", ack=True)
    publish(channel, queue, "a")
    first.wait_for(1)
    second = consume(elsewhere.channel(), queue, ack=True)
    second.expect_no_more()

    channel.basic_cancel("first")
    publish(channel, queue, "b")

    assert [message.payload for message in second.wait_for(1)] == ["b"]


def test_the_next_takes_over_when_the_firsts_connection_closes(connection, channel, elsewhere, queue):
    consume(channel, queue).wait_for(0)
    publish(channel, queue, "a", "b")
    theirs = elsewhere.channel()
    eventually(lambda: count(theirs, queue) == 0 or connection.drain_events(timeout=1))
    second = consume(theirs, queue, ack=True)
    second.expect_no_more()

    connection.release()

    assert [message.payload for message in second.wait_for(2)] == ["a", "b"]


def test_of_two_consumers_of_one_channel_the_first_gets_all(channel, queue):
    first, second = consume(channel, queue, ack=True), consume(channel, queue, ack=True)
    publish(channel, queue, *"abc")
    first.wait_for(3)

    assert second.bodies == []


def test_two_channels_of_one_connection_are_told_apart(connection, channel, queue):
    first = consume(channel, queue, ack=True)
    publish(channel, queue, "a")
    first.wait_for(1)
    second = consume(connection.channel(), queue, ack=True)
    publish(channel, queue, "b", "c")
    first.wait_for(3)

    assert second.bodies == []


def test_nothing_is_left_of_the_turn(channel, queue):
    inbox = consume(channel, queue, consumer_tag="c", ack=True)
    publish(channel, queue, "a")
    inbox.wait_for(1)
    assert exists(channel, PREFIX + queue)

    channel.basic_cancel("c")

    assert not exists(channel, PREFIX + queue)


def test_the_next_takes_over_from_a_killed_process(programs, shared_url, opened):
    channel = opened(shared_url, claim_ttl=2.0).channel()
    declare(channel, "q", arguments=ALONE)
    publish(channel, "q", "a")
    other = programs.start("hold", url=shared_url, queue="q", number=1, options={"claim_ttl": 2.0})
    assert other.line() == "a"
    inbox = consume(channel, "q", ack=True)
    publish(channel, "q", "b")
    inbox.expect_no_more()

    other.kill()

    assert sorted(message.payload for message in inbox.wait_for(2)) == ["a", "b"]


def test_who_is_active_is_asked_while_claims_follow_one_another(channel, queue, monkeypatch):
    monkeypatch.setattr(SingleActiveConsumer, "POLL_INTERVAL", 0.0)
    publish(channel, queue, *range(5))
    events = []
    ask, claim = SingleActiveConsumer.poll, Claimer.claim

    def poll(candidacy):
        events.append("ask")
        ask(candidacy)

    def claim_one(link, consumers, limit, *rest):
        count = claim(link, consumers, 1, *rest)
        events.append("claim" if count else "empty")
        return count

    monkeypatch.setattr(SingleActiveConsumer, "poll", poll)
    monkeypatch.setattr(Claimer, "claim", claim_one)

    consume(channel, queue).wait_for(5)

    claims = [at for at, event in enumerate(events) if event == "claim"]
    assert all("ask" in events[first:second] for first, second in pairwise(claims))
