"""Forks: a child owns nothing of its parent's, and both stay usable."""

from __future__ import annotations

import os
import sys
import time
import traceback

import pytest

from tests.support.limits import LIMIT
from tests.support.transport.traffic import consume, count, declare, eventually, publish, take_all

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def in_child(work):
    """Run ``work`` in a forked child; return its exit status, 0 if it did not fail."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - the child must not go on with the parent's tests, whatever the error
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


@pytest.fixture
def connection(shared_url, opened):
    return opened(shared_url, claim_ttl=2.0)


@pytest.fixture
def channel(connection):
    channel = connection.channel()
    declare(channel, "q")
    return channel


def test_parent_and_child_publish(channel, connection):
    publish(channel, "q", "before")

    def child():
        with connection.clone() as own:
            publish(own.channel(), "q", "child")

    assert in_child(child) == 0

    publish(channel, "q", "after")
    assert take_all(channel, "q") == ["before", "child", "after"]


def test_a_child_may_use_the_connection_object_of_its_parent(channel, connection):
    publish(channel, "q", "before")

    def child():
        connection.collect()
        publish(connection.channel(), "q", "child")
        connection.release()

    assert in_child(child) == 0

    publish(channel, "q", "after")
    assert take_all(channel, "q") == ["before", "child", "after"]


def test_a_child_that_uses_the_connection_without_a_word_gets_one_of_its_own(channel, connection):
    publish(channel, "q", "before")

    def child():
        publish(connection.default_channel, "q", "child")

    assert in_child(child) == 0

    assert take_all(channel, "q") == ["before", "child"]


def test_the_channels_of_a_parent_can_publish_in_the_child(channel):
    publish(channel, "q", "before")

    assert in_child(lambda: publish(channel, "q", "child")) == 0

    assert take_all(channel, "q") == ["before", "child"]


def test_a_child_does_not_take_its_parents_messages(channel):
    publish(channel, "q", "a", "b")
    channel.basic_qos(prefetch_count=1)
    inbox = consume(channel, "q")
    inbox.wait_for(1)

    assert in_child(lambda: time.sleep(3.0)) == 0

    inbox.messages[0].ack()
    assert inbox.wait_for(2)[1].payload == "b"


def test_a_child_that_closes_its_parents_connection_gives_nothing_back(channel, connection, opened, shared_url):
    publish(channel, "q", "a", "b")
    inbox = consume(channel, "q")
    inbox.wait_for(1)
    theirs = opened(shared_url).channel()
    eventually(lambda: count(theirs, "q") == 0)

    def child():
        channel.close()
        connection.release()

    assert in_child(child) == 0

    assert count(theirs, "q") == 0
    inbox.wait_for(2)
    for message in inbox.messages:
        assert message.delivery_info["delivery_count"] == 1
        message.ack()


def test_a_child_cannot_consume_over_its_parents_channels(channel, connection):
    publish(channel, "q", "a")

    def child():
        for refused in (
            lambda: channel.basic_get("q"),
            lambda: channel.basic_consume("q", callback=print),
            lambda: channel.queue_declare("own", exclusive=True),
        ):
            with pytest.raises(connection.connection_errors):
                refused()

    assert in_child(child) == 0

    assert take_all(channel, "q") == ["a"]


def test_an_acknowledgement_in_a_child_does_nothing_to_its_parents_message(channel, opened, shared_url):
    publish(channel, "q", "a")
    message = channel.basic_get("q")

    assert in_child(message.ack) == 0
    message.requeue()

    assert take_all(opened(shared_url).channel(), "q") == ["a"]


def test_a_childs_collect_leaves_the_parents_claims_alone(channel, connection, opened, shared_url):
    publish(channel, "q", "a")
    message = channel.basic_get("q")

    def child():
        connection.collect()
        with connection.clone() as own:
            publish(own.channel(), "q", "child")
            time.sleep(3.0)

    assert in_child(child) == 0

    theirs = opened(shared_url).channel()
    assert take_all(theirs, "q") == ["child"]
    message.ack()


def test_a_childs_exclusive_queues_and_consumers_are_its_own(channel, connection):
    declare(channel, "own", exclusive=True)
    consume(channel, "q")

    def child():
        with connection.clone() as own:
            declare(own.channel(), "other", exclusive=True)

    assert in_child(child) == 0

    assert tuple(channel.queue_declare("own", exclusive=True)) == ("own", 0, 0)
    assert channel.queue_declare("q", passive=True).consumer_count == 1


def test_a_child_of_a_consumer_consumes_on_its_own(channel, connection):
    consume(channel, "q", consumer_tag="parent").expect_no_more()
    channel.basic_cancel("parent")

    def child():
        with connection.clone() as own:
            theirs = own.channel()
            publish(theirs, "q", "for the child")
            inbox = consume(theirs, "q", ack=True)
            assert inbox.wait_for(1)[0].payload == "for the child"

    assert in_child(child) == 0

    assert count(channel, "q") == 0
