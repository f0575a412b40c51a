"""A paused queue delivers to no consumer of any process; publishing and settling go on."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from tests.support.transport.traffic import consume, count, declare, eventually, publish, take_all


@pytest.fixture
def queues(connection, filled):
    """The queues of the store; q has the messages a, b and c."""
    return connection.connection.broker.data.queue_controller


def test_a_paused_queue_delivers_nothing_until_it_is_resumed(elsewhere, filled, queues, long_waits):
    queues.pause("q")
    inboxes = [consume(elsewhere.channel(), "q", ack=True) for _ in range(2)]
    publish(filled, "q", "d")
    inboxes[0].expect_no_more()

    queues.resume("q")

    eventually(lambda: drain(elsewhere) or sum(len(inbox.messages) for inbox in inboxes) == 4)
    assert sorted(inboxes[0].bodies + inboxes[1].bodies) == ["a", "b", "c", "d"]


def drain(connection):
    with suppress(TimeoutError):
        connection.drain_events(timeout=0.1)


def test_what_a_consumer_holds_is_acknowledged_or_goes_back(elsewhere, filled, queues):
    inbox = consume(elsewhere.channel(), "q")
    acknowledged, requeued, _ = inbox.wait_for(3)
    queues.pause("q")

    acknowledged.ack()
    requeued.requeue()
    eventually(lambda: count(filled, "q") == 1)

    inbox.expect_no_more()
    queues.resume("q")
    assert [message.payload for message in inbox.wait_for(4)[3:]] == ["b"]


def test_a_paused_queue_gives_no_message_by_basic_get(filled, queues):
    queues.pause("q")
    assert filled.basic_get("q") is None

    queues.resume("q")
    assert take_all(filled, "q") == ["a", "b", "c"]


def test_a_declaration_of_a_paused_queue_counts_its_messages_and_leaves_it_paused(filled, queues):
    queues.pause("q")

    declare(filled, "q")

    assert count(filled, "q") == 3
    assert filled.basic_get("q") is None


def test_other_queues_of_a_consumer_go_on(elsewhere, filled, queues):
    declare(filled, "other")
    queues.pause("q")
    channel = elsewhere.channel()
    paused = consume(channel, "q", ack=True)
    inbox = consume(channel, "other", ack=True)

    publish(filled, "other", *range(10))

    inbox.wait_for(10)
    assert paused.messages == []


def test_a_consumer_of_a_paused_queue_waits_without_claims(elsewhere, filled, queues, monkeypatch):
    queues.pause("q")
    claims = elsewhere.connection.broker.data.claim_controller
    made, claim = [], claims.ack_and_claim
    monkeypatch.setattr(
        claims, "ack_and_claim", lambda *given, **options: made.append(given) or claim(*given, **options)
    )
    inbox = consume(elsewhere.channel(), "q")

    until = time.monotonic() + 1
    while time.monotonic() < until:
        inbox.expect_no_more(0.05)

    # Each drain may claim once in its own thread, before the fetcher's thread waits.
    assert len(made) <= 30
