"""Settling deliveries: acknowledged, rejected, requeued, recovered, or never acknowledged at all."""

from __future__ import annotations

import logging
import threading

import pytest
from kombu import Exchange, Queue
from kombu.exceptions import MessageStateError

from tests.support.transport.traffic import consume, count, publish, take_all


def test_an_acknowledged_message_is_gone(filled, connection, connect):
    filled.basic_get("q").ack()
    connection.release()

    assert take_all(connect().channel(), "q") == ["b", "c"]


def test_acknowledging_multiple_settles_all_up_to_that_message(filled, connection, connect):
    inbox = consume(filled, "q")
    inbox.wait_for(3)

    inbox.messages[1].ack(multiple=True)
    connection.release()

    assert take_all(connect().channel(), "q") == ["c"]


def test_acknowledging_tag_0_with_multiple_settles_everything(filled, connection, connect):
    consume(filled, "q").wait_for(3)

    filled.basic_ack(0, multiple=True)
    connection.release()

    assert take_all(connect().channel(), "q") == []


def test_a_message_cannot_be_acknowledged_twice(filled):
    message = filled.basic_get("q")
    message.ack()

    with pytest.raises(MessageStateError):
        message.ack()


def test_an_unknown_delivery_tag_is_logged_and_does_no_harm(filled, caplog):
    with caplog.at_level(logging.WARNING):
        filled.basic_ack(4711)

    assert "4711" in caplog.text
    assert take_all(filled, "q") == ["a", "b", "c"]


def test_acknowledgements_may_come_from_another_thread(filled, connection, connect):
    inbox = consume(filled, "q")
    for message in inbox.wait_for(3):
        thread = threading.Thread(target=message.ack)
        thread.start()
        thread.join()
    connection.release()

    assert take_all(connect().channel(), "q") == []


def test_a_rejected_message_is_gone(filled, connection, connect):
    filled.basic_get("q").reject()
    connection.release()

    assert take_all(connect().channel(), "q") == ["b", "c"]


def test_a_requeued_message_goes_back_to_its_place_at_once(filled, elsewhere):
    filled.basic_get("q").requeue()

    assert take_all(elsewhere.channel(), "q") == ["a", "b", "c"]


def test_a_requeued_message_goes_back_to_its_own_queue_only(channel):
    for name in ("q", "r"):
        Queue(name, Exchange("e", type="topic"), "#")(channel).declare()
    publish(channel, "any.key", "a", exchange="e")

    channel.basic_get("q").requeue()

    assert (count(channel, "q"), count(channel, "r")) == (1, 1)


def test_a_message_that_comes_again_says_so_and_how_often(filled):
    first = filled.basic_get("q")
    assert (first.delivery_info["redelivered"], first.delivery_info["delivery_count"]) == (False, 1)
    first.requeue()

    again = filled.basic_get("q")

    assert (again.payload, again.delivery_info["redelivered"], again.delivery_info["delivery_count"]) == ("a", True, 2)


def test_recovering_gives_back_everything_that_is_unacknowledged(filled):
    inbox = consume(filled, "q")
    inbox.wait_for(3)[1].ack()

    filled.basic_recover(requeue=True)
    inbox.wait_for(5)

    assert inbox.bodies == ["a", "b", "c", "a", "c"]


def test_nack_requeues_or_deletes(filled, connection, connect):
    inbox = consume(filled, "q", consumer_tag="tag")
    tags = [message.delivery_tag for message in inbox.wait_for(3)]
    filled.basic_cancel("tag")

    filled.basic_nack(tags[1], multiple=True, requeue=False)
    filled.basic_nack(tags[2])
    connection.release()

    assert take_all(connect().channel(), "q") == ["c"]


def test_a_consumer_without_acknowledgements_takes_messages_for_good(filled, connection, connect):
    consume(filled, "q", no_ack=True).wait_for(3)
    connection.release()

    assert take_all(connect().channel(), "q") == []


def test_messages_that_a_no_ack_consumer_never_saw_stay(filled, connection, connect):
    consume(filled, "q", no_ack=True).wait_for(1)
    connection.release()

    assert take_all(connect().channel(), "q") == ["b", "c"]
