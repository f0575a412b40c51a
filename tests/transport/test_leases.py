"""Claims live as long as their holder: renewed while it works, ended after its death, released when it closes."""

from __future__ import annotations

import gc
import logging
import signal
import threading

import pytest

from kombu_pool.pooling import ClaimController, MessageController
from tests.support.limits import LIMIT, best_of, seconds_of
from tests.support.transport.traffic import Inbox, consume, count, declare, eventually, publish, take_all

#: Long enough for a renewal in time on a machine that is busy with other tests.
SHORT = {"claim_ttl": 2.0}


@pytest.fixture
def hold(shared_url, opened, programs):
    """Start a process that holds the messages a and b of q; return it, and a channel of another connection."""
    channel = opened(shared_url, **SHORT).channel()
    declare(channel, "q")

    def hold():
        publish(channel, "q", "a", "b", "c")
        holder = programs.start("hold", url=shared_url, queue="q", number=2, options=SHORT)
        assert [holder.line(), holder.line()] == ["a", "b"]
        return holder, channel

    return hold


@pytest.fixture
def held(hold):
    return hold()


def test_a_claim_is_renewed_while_a_callback_blocks(connect):
    ours, theirs = connect(**SHORT), connect(**SHORT, ack_delay=0.003).channel()
    channel = ours.channel()
    declare(channel, "q")
    publish(channel, "q", "a")
    stolen = consume(theirs, "q", consumer_tag="tag")
    theirs.basic_cancel("tag")
    blocked = threading.Event()

    def work(message):
        # Three claim ttls, in which the other connection tries to get it.
        theirs.basic_consume("q", callback=stolen)
        with pytest.raises(TimeoutError):
            theirs.connection.client.drain_events(timeout=3 * SHORT["claim_ttl"])
        message.ack()
        blocked.set()

    channel.basic_consume("q", callback=work)
    ours.drain_events(timeout=LIMIT)
    ours.release()

    assert blocked.is_set()
    assert count(theirs, "q") == 0
    assert stolen.messages == []


def test_a_message_that_waits_for_a_blocked_callback_stays_its_consumers(connect):
    ours, theirs = connect(**SHORT), connect(**SHORT, ack_delay=0.003).channel()
    channel = ours.channel()
    declare(channel, "q")
    publish(channel, "q", "first", "waiting")
    seen = []

    def work(message):
        if not seen:
            with pytest.raises(TimeoutError):
                theirs.connection.client.drain_events(timeout=3 * SHORT["claim_ttl"])
        seen.append((message.payload, message.delivery_info["delivery_count"]))
        message.ack()

    channel.basic_consume("q", callback=work)
    stolen = Inbox(theirs.connection.client)
    eventually(lambda: count(theirs, "q") == 0)
    theirs.basic_consume("q", callback=stolen)
    ours.drain_events(timeout=LIMIT)
    ours.drain_events(timeout=LIMIT)

    assert seen == [("first", 1), ("waiting", 1)]
    assert stolen.messages == []


def test_a_message_of_another_process_that_works_on_it_is_not_delivered_again(shared_url, opened, programs):
    channel = opened(shared_url, **SHORT).channel()
    declare(channel, "q")
    publish(channel, "q", "a")
    worker = programs.start("block", url=shared_url, queue="q", seconds=7.5, options={"claim_ttl": 2.5})
    assert worker.line() == "begun"
    inbox = consume(channel, "q")

    assert worker.line() == "done"

    inbox.expect_no_more()


def test_what_a_killed_process_held_comes_back_within_a_claims_life_and_says_so(hold):
    def return_time():
        holder, channel = hold()
        inbox = consume(channel, "q", ack=True, consumer_tag="tag")
        inbox.wait_for(1)
        holder.kill()
        seconds = seconds_of(lambda: inbox.wait_for(3))
        channel.basic_cancel("tag")
        infos = [message.delivery_info for message in inbox.messages]
        assert inbox.bodies == ["c", "a", "b"]
        assert [info["redelivered"] for info in infos] == [False, True, True]
        assert [info["delivery_count"] for info in infos] == [1, 2, 2]
        return seconds

    bound = SHORT["claim_ttl"] + 4
    assert best_of(return_time, bound) < bound


def test_a_clean_close_gives_back_at_once(shared_url, opened, programs):
    channel = opened(shared_url).channel()
    declare(channel, "q")
    publish(channel, "q", "a", "b")
    holder = programs.start("leave", url=shared_url, queue="q", number=2, options={"claim_ttl": 3600})
    assert [holder.line(), holder.line()] == ["a", "b"]
    assert count(channel, "q") == 0

    holder.tell()
    assert holder.line() == "closed"

    assert take_all(channel, "q") == ["a", "b"]


def test_a_late_acknowledgement_is_refused_and_logged(held):
    holder, channel = held
    inbox = consume(channel, "q", ack=False)
    inbox.wait_for(1)

    holder.signal(signal.SIGSTOP)
    inbox.wait_for(3)
    holder.signal(signal.SIGCONT)
    holder.tell()
    assert holder.line() == "closed"
    holder.finish()

    assert "ended" in "".join(holder.log)
    channel.basic_recover()
    inbox.wait_for(6)
    assert sorted(inbox.bodies[3:]) == ["a", "b", "c"]


def test_a_process_that_slept_through_its_claim_does_not_start_what_waited_in_it(shared_url, opened, programs):
    channel = opened(shared_url, **SHORT).channel()
    declare(channel, "q")
    publish(channel, "q", "a", "b")
    sleeper = programs.start("slow", url=shared_url, queue="q", options=SHORT)
    assert sleeper.line() == "a"

    sleeper.signal(signal.SIGSTOP)
    inbox = consume(channel, "q")
    inbox.wait_for(2)
    sleeper.signal(signal.SIGCONT)
    sleeper.tell()

    assert sleeper.line() == "nothing more"
    assert sorted(inbox.bodies) == ["a", "b"]


def test_an_acknowledgement_over_an_abandoned_connection_still_counts(connect, elsewhere):
    connection = connect(**SHORT)
    channel = connection.channel()
    declare(channel, "q")
    publish(channel, "q", "a", "b")
    [message, _] = consume(channel, "q").wait_for(2)
    connection.collect()

    message.ack()

    theirs = elsewhere.channel()
    inbox = consume(theirs, "q", ack=True)
    del _
    gc.collect()
    assert inbox.wait_for(1)[0].payload == "b"
    inbox.expect_no_more()


def test_what_is_still_held_after_a_connection_was_abandoned_is_renewed(connect, elsewhere):
    connection = connect(**SHORT)
    channel = connection.channel()
    declare(channel, "q")
    publish(channel, "q", "a")
    message = channel.basic_get("q")
    theirs = elsewhere.channel()

    connection.collect()
    theirs.basic_consume("q", callback=print)
    with pytest.raises(TimeoutError):
        elsewhere.drain_events(timeout=3 * SHORT["claim_ttl"])

    message.ack()


def test_a_message_that_is_dropped_after_its_connection_was_abandoned_comes_back(connect, elsewhere):
    connection = connect()
    channel = connection.channel()
    declare(channel, "q")
    publish(channel, "q", "a")
    message = channel.basic_get("q")
    connection.collect()
    inbox = consume(elsewhere.channel(), "q")
    inbox.expect_no_more()

    del message
    gc.collect()

    assert inbox.wait_for(1)[0].payload == "a"


def test_what_was_not_delivered_when_the_connection_was_abandoned_comes_back(connect, elsewhere):
    connection = connect()
    channel = connection.channel()
    declare(channel, "q")
    publish(channel, "q", "a", "b")
    consume(channel, "q")
    theirs = elsewhere.channel()
    eventually(lambda: count(theirs, "q") == 0)

    connection.collect()

    assert [message.payload for message in consume(theirs, "q").wait_for(2)] == ["a", "b"]


def test_rejecting_over_an_abandoned_connection_gives_back_at_once(connect, elsewhere):
    connection = connect()
    channel = connection.channel()
    declare(channel, "q")
    publish(channel, "q", "a")
    message = channel.basic_get("q")
    connection.collect()

    message.requeue()

    assert take_all(elsewhere.channel(), "q") == ["a"]


def test_a_claim_that_was_lost_is_named_in_the_log(connect, caplog):
    connection = connect(**SHORT)
    channel = connection.channel()
    declare(channel, "q")
    publish(channel, "q", "a")
    message = channel.basic_get("q")
    theirs = connect(ack_delay=0.003).channel()
    theirs.queue_delete("q")

    with caplog.at_level(logging.WARNING):
        eventually(lambda: "ended before it was renewed" in caplog.text)

    assert "'q'" in caplog.text
    message.ack()


@pytest.mark.parametrize("together", [True, False])
def test_a_claim_that_ends_with_its_last_acknowledgement_is_not_called_lost(connect, caplog, monkeypatch, together):
    channel = connect(ack_delay=0.5).channel()
    link = channel.connection
    declare(channel, "q")
    publish(channel, "q", "a", "b")
    channel.basic_qos(0, 2, False)
    messages = consume(channel, "q").wait_for(2)
    channel.flow(active=False)
    controller, method = (ClaimController, "ack_and_claim") if together else (MessageController, "delete_claimed")
    genuine, renewed = getattr(controller, method), []

    def renew_before_the_answer(self, *arguments, **options):
        answer = genuine(self, *arguments, **options)
        renewed.append(link.broker.renewal.renew())
        return answer

    monkeypatch.setattr(controller, method, renew_before_the_answer)
    with caplog.at_level(logging.WARNING):
        for message in messages:
            message.ack()
        if together:
            (subscription,) = channel._queue_consumers.values()
            link.dispatcher.claimer.claim(subscription, 1)
        else:
            link.broker.settlement.flush()

    assert renewed == [True]
    assert caplog.text == ""
    assert channel.qos.outstanding() == 0
    assert link.broker.data.queue_controller.stats("q")["messages"]["total"] == 0


def test_acknowledging_after_the_queue_is_gone_does_no_harm(connect, elsewhere):
    channel = connect().channel()
    declare(channel, "q")
    publish(channel, "q", "a")
    message = channel.basic_get("q")
    elsewhere.channel().queue_delete("q")

    message.ack()
    channel.close()

    declare(elsewhere.channel(), "q")
    assert take_all(elsewhere.channel(), "q") == []
