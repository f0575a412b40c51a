"""Publishing: which queues store a message, and when it is confirmed."""

from __future__ import annotations

import threading

import pytest
from amqp.exceptions import NotFound
from kombu import Connection, Exchange, Producer, Queue

from tests.support.transport.traffic import count, declare, publish, take_all


def test_a_message_without_an_exchange_goes_to_the_queue_named_by_its_key(channel):
    declare(channel, "q", "other")

    publish(channel, "q", {"a": 1})

    assert take_all(channel, "q") == [{"a": 1}]
    assert take_all(channel, "other") == []


def test_messages_come_in_the_order_in_which_they_were_published(channel):
    declare(channel, "q")

    publish(channel, "q", *range(50))

    assert take_all(channel, "q") == list(range(50))


def test_a_published_message_is_stored_when_the_call_returns(channel, elsewhere):
    declare(channel, "q")

    publish(channel, "q", "a")

    assert take_all(elsewhere.channel(), "q") == ["a"]


def test_a_message_outlives_the_connection_that_published_it(connect):
    with connect() as connection:
        declare(connection.channel(), "q")
        publish(connection.channel(), "q", "a")

    assert take_all(connect().channel(), "q") == ["a"]


def test_a_message_that_no_queue_takes_is_dropped(channel):
    declare(channel, "q")

    publish(channel, "absent", "a")

    assert count(channel, "q") == 0


def test_a_mandatory_message_that_no_queue_takes_is_returned(channel):
    returned = []
    producer = Producer(channel, on_return=lambda *arguments: returned.append(arguments))

    producer.publish("a", routing_key="absent", mandatory=True)

    [(error, exchange, routing_key, message)] = returned
    assert "NO_ROUTE" in str(error)
    assert (exchange, routing_key, message["body"]) == ("", "absent", b"a")


def test_a_mandatory_message_that_a_queue_takes_is_not_returned(channel):
    returned = []
    declare(channel, "q")
    producer = Producer(channel, on_return=lambda *arguments: returned.append(arguments))

    producer.publish("a", routing_key="q", mandatory=True)

    assert returned == []


def test_publishing_to_an_exchange_that_is_not_there_says_so_and_the_channel_goes_on(channel):
    declare(channel, "q")

    with pytest.raises(NotFound, match="no exchange 'absent'"):
        Producer(channel).publish("a", exchange="absent", routing_key="q")

    publish(channel, "q", "b")
    assert take_all(channel, "q") == ["b"]


@pytest.mark.parametrize("body", ["text", b"bytes \x00\xff"])
def test_a_bare_text_or_bytes_can_be_published(channel, body):
    declare(channel, "q")

    channel.basic_publish(body, routing_key="q")

    assert channel.basic_get("q").body == body


def test_a_producer_declares_what_it_is_told_to(channel):
    queue = Queue("q", Exchange("e"), "k")

    Producer(channel).publish("a", exchange="e", routing_key="k", declare=[queue])

    assert take_all(channel, "q") == ["a"]


def test_what_producers_leave_in_the_transport_options_disturbs_nobody(connection):
    channel = connection.channel()
    declare(channel, "q")

    publish(channel, "q", "a", retry=True, retry_policy={"max_retries": 3, "interval_start": 0, "interval_max": 1})

    with connection.clone() as other:
        assert take_all(other.channel(), "q") == ["a"]


def test_a_publish_heeds_no_timeouts_but_takes_them(channel):
    declare(channel, "q")

    publish(channel, "q", "a", timeout=5, confirm_timeout=5, immediate=True)

    assert take_all(channel, "q") == ["a"]


def test_threads_publish_over_channels_of_one_connection(connection):
    declare(connection.channel(), "q")

    def work(name):
        publish(connection.channel(), "q", *(f"{name}-{number}" for number in range(20)))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(take_all(connection.channel(), "q")) == sorted(
        f"{n}-{number}" for n in "abcd" for number in range(20)
    )


def test_the_prepared_message_can_be_published_twice(channel):
    declare(channel, "q", "r")
    message = channel.prepare_message("a", content_type="text/plain", content_encoding="utf-8")

    channel.basic_publish(message, routing_key="q")
    channel.basic_publish(message, routing_key="r")

    assert channel.basic_get("q").delivery_info["routing_key"] == "q"
    assert channel.basic_get("r").delivery_info["routing_key"] == "r"


def test_projects_do_not_see_each_others_queues(connect):
    ours, theirs = connect(project="ours").channel(), connect(project="theirs").channel()
    declare(ours, "q")
    declare(theirs, "q")

    publish(ours, "q", "a")

    assert take_all(theirs, "q") == []
    assert take_all(ours, "q") == ["a"]


def test_a_closed_connection_can_be_opened_again(url):
    connection = Connection(url)
    with connection:
        declare(connection.channel(), "q")

    connection.connect()
    with connection:
        publish(connection.channel(), "q", "a")
        assert take_all(connection.channel(), "q") == ["a"]
