"""Properties, headers, bodies of every kind, and bodies that cannot be decoded."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from kombu import Producer
from kombu.exceptions import ContentDisallowed

import kombu_pool
from kombu_pool.transport.publish.envelope import new_message
from tests.support.limits import LIMIT
from tests.support.transport.traffic import Inbox, consume, count, declare, eventually, publish, take_all, task_with_eta

UNREADABLE = "kombu_pool.unreadable"


def roundtrip(channel, body, **options):
    declare(channel, "q")
    publish(channel, "q", body, **options)
    return channel.basic_get("q")


def test_a_message_that_is_not_claimed_in_time_expires(channel):
    declare(channel, "q")
    publish(channel, "q", "short", expiration=0.3)
    publish(channel, "q", "long", expiration=3600)

    eventually(lambda: count(channel, "q") == 1)

    assert take_all(channel, "q") == ["long"]


def test_a_message_of_expiration_0_goes_at_once(channel):
    declare(channel, "q")
    publish(channel, "q", "a", expiration=0)

    eventually(lambda: count(channel, "q") == 0)


def test_the_expiration_is_shown_as_amqp_shows_it(channel):
    assert roundtrip(channel, "a", expiration=60).properties["expiration"] == "60000"


def test_messages_of_higher_priority_come_first_and_equal_ones_in_order(channel):
    declare(channel, "q")
    for number, priority in enumerate([0, 5, 255, None, 5, 1]):
        publish(channel, "q", f"{priority}-{number}", priority=priority)

    assert take_all(channel, "q") == ["255-2", "5-1", "5-4", "1-5", "0-0", "None-3"]


def test_a_priority_out_of_range_counts_as_the_nearest_that_there_is(channel):
    declare(channel, "q")
    publish(channel, "q", "low", priority=-5)
    publish(channel, "q", "high", priority=1000)
    publish(channel, "q", "highest", priority=255)

    assert take_all(channel, "q") == ["high", "highest", "low"]


def test_a_requeued_message_keeps_its_priority(channel):
    declare(channel, "q")
    publish(channel, "q", "low")
    publish(channel, "q", "high", priority=9)

    message = channel.basic_get("q")
    assert message.properties["priority"] == 9
    message.requeue()

    assert take_all(channel, "q") == ["high", "low"]


def test_headers_and_properties_arrive_as_they_were_sent(channel):
    message = roundtrip(
        channel,
        {"a": 1},
        headers={"id": "x", "nested": {"list": [1, None, 2.5]}, "ü": True},
        correlation_id="c",
        reply_to="r",
        message_id="m",
        delivery_mode=2,
    )

    assert message.headers == {"id": "x", "nested": {"list": [1, None, 2.5]}, "ü": True}
    assert {key: message.properties[key] for key in ("correlation_id", "reply_to", "message_id", "delivery_mode")} == {
        "correlation_id": "c",
        "reply_to": "r",
        "message_id": "m",
        "delivery_mode": 2,
    }


def test_a_message_says_where_it_came_from(channel):
    channel.exchange_declare("e", "topic")
    declare(channel, "q")
    channel.queue_bind("q", "e", "#")
    publish(channel, "a.b", "x", exchange="e")

    info = consume(channel, "q", consumer_tag="tag").wait_for(1)[0].delivery_info

    assert info == {
        "consumer_tag": "tag",
        "exchange": "e",
        "routing_key": "a.b",
        "redelivered": False,
        "delivery_count": 1,
    }


def test_delivery_tags_are_numbers_that_count_up(channel):
    declare(channel, "q")
    publish(channel, "q", "a", "b")

    tags = [channel.basic_get("q").delivery_tag for _ in range(2)]

    assert tags == [1, 2]


@pytest.mark.parametrize(
    ("serializer", "content_type"),
    [("json", "application/json"), ("pickle", "application/x-python-serialize"), ("yaml", "application/x-yaml")],
)
def test_serializers_of_kombu_work(channel, serializer, content_type):
    if serializer == "yaml":
        pytest.importorskip("yaml")

    message = roundtrip(channel, {"a": [1, "ü"]}, serializer=serializer)
    message.accept = {content_type}

    assert message.content_type == content_type
    assert message.decode() == {"a": [1, "ü"]}


def test_what_a_consumer_does_not_accept_is_not_decoded(channel):
    message = roundtrip(channel, {"a": 1}, serializer="pickle")
    message.accept = {"application/json"}

    with pytest.raises(ContentDisallowed):
        message.decode()


@pytest.mark.parametrize("method", ["zlib", "bzip2"])
def test_compressed_bodies_are_decompressed(channel, method):
    message = roundtrip(channel, {"a": "x" * 10_000}, compression=method)

    assert message.payload == {"a": "x" * 10_000}


def test_a_body_that_cannot_be_decompressed_is_the_consumers_to_handle(channel, connection):
    declare(channel, "q")
    channel.basic_publish(
        channel.prepare_message(
            b"not compressed",
            content_type="application/json",
            content_encoding="utf-8",
            headers={"compression": "application/x-gzip"},
        ),
        routing_key="q",
    )

    message = channel.basic_get("q")

    with pytest.raises(Exception, match=r".+"):
        message._reraise_error()
    message.reject()


@pytest.mark.parametrize("body", [b"", b"\x00\xff" * 100, b"x" * 1_000_000])
def test_bytes_arrive_as_bytes(channel, body):
    message = roundtrip(channel, body, content_type="application/data", content_encoding="binary")

    assert bytes(message.body) == body


@pytest.mark.parametrize("body", ["ü€😀\x00", "x" * 1_000_000])
def test_texts_arrive_as_texts(channel, body):
    assert roundtrip(channel, body).payload == body


def test_an_eta_delays_the_message_in_the_store(channel):
    due = datetime.now(timezone.utc) + timedelta(seconds=0.6)
    declare(channel, "q")
    inbox = consume(channel, "q")

    publish(channel, "q", "later", headers=task_with_eta(due.isoformat()))
    publish(channel, "q", "now", headers=task_with_eta(datetime.now(timezone.utc).isoformat()))
    inbox.wait_for(2)

    assert inbox.bodies == ["now", "later"]
    assert datetime.now(timezone.utc) >= due


@pytest.mark.parametrize("missing", ["task", "id"])
def test_only_a_tasks_eta_is_a_delay(channel, missing):
    headers = task_with_eta("2900-01-01T00:00:00Z")
    del headers[missing]

    assert roundtrip(channel, "a", headers=headers).headers == headers


def test_a_delayed_message_costs_no_prefetch_slot(channel):
    declare(channel, "q")
    channel.basic_qos(prefetch_count=1)
    inbox = consume(channel, "q")
    publish(channel, "q", "later", headers=task_with_eta("2900-01-01T00:00:00Z"))

    publish(channel, "q", "now")

    assert inbox.wait_for(1)[0].payload == "now"


@pytest.mark.parametrize("eta", ["not a date", 5, "9999-12-31T23:59:59.999999+00:00"])
def test_no_eta_makes_a_publish_fail(channel, eta):
    declare(channel, "q")

    publish(channel, "q", "a", headers=task_with_eta(eta))


def test_workers_hold_tasks_with_an_eta_when_delaying_is_switched_off(connect):
    channel = connect(delay_eta=False).channel()

    assert roundtrip(channel, "a", headers=task_with_eta("2900-01-01T00:00:00Z")).payload == "a"


def test_a_delayed_task_outlives_the_ttl_of_its_queue_until_it_is_due(channel):
    declare(channel, "q", arguments={"x-message-ttl": 2000})
    due = datetime.now(timezone.utc) + timedelta(seconds=2.2)
    publish(channel, "q", "later", headers=task_with_eta(due.isoformat()))

    message = consume(channel, "q").wait_for(1)[0]

    assert message.payload == "later"
    assert datetime.now(timezone.utc) >= due


def test_a_delayed_message_gets_its_whole_time_to_live_once_it_is_due():
    eta = (datetime.now(timezone.utc) + timedelta(seconds=100)).isoformat()

    message = new_message(
        {"body": "", "headers": task_with_eta(eta), "properties": {"expiration": "5000"}}, delay_eta=True
    )

    assert message["delay"] == pytest.approx(100, abs=1)
    assert message["ttl"] == pytest.approx(105, abs=1)


@pytest.mark.parametrize(
    ("body", "payload", "content_type"),
    [
        ({"a": [1, None]}, {"a": [1, None]}, "application/json"),
        ([1, 2], [1, 2], "application/json"),
        ("text", "text", "text/plain"),
        (7, 7, "application/json"),
    ],
)
def test_what_the_library_posted_is_delivered(channel, url, body, payload, content_type):
    declare(channel, "q")
    library = kombu_pool.open(url.removeprefix("pool+"))
    library.message_controller.post("q", [{"ttl": None, "body": body}], None)
    library.close()

    message = channel.basic_get("q")

    assert (message.payload, message.content_type) == (payload, content_type)


def test_bytes_that_the_library_posted_are_delivered(channel, url):
    declare(channel, "q")
    library = kombu_pool.open(url.removeprefix("pool+"))
    library.message_controller.post("q", [{"ttl": None, "body": b"\x00\xff"}], None)
    library.close()

    assert channel.basic_get("q").body == b"\x00\xff"


def test_a_mapping_that_only_looks_like_an_envelope_does_no_harm(channel, url):
    declare(channel, "q")
    library = kombu_pool.open(url.removeprefix("pool+"))
    impostors = [
        {"properties": 1},
        {"body": "a", "properties": None},
        {"body": "b", "properties": {}, "headers": "none"},
        {"body": {"c": 1}, "properties": {}},
    ]
    library.message_controller.post("q", [{"ttl": None, "body": body} for body in impostors], None)
    library.close()
    publish(channel, "q", "behind")

    inbox = consume(channel, "q", ack=True)
    inbox.wait_for(5)

    assert inbox.bodies == [*impostors, "behind"]


def test_what_the_transport_published_can_be_read_through_the_library(channel, url):
    declare(channel, "q")
    publish(channel, "q", {"a": 1}, headers={"h": 1})

    library = kombu_pool.open(url.removeprefix("pool+"))
    body = library.message_controller.first("q")["body"]
    library.close()

    assert body["body"] == b'{"a": 1}' or body["body"] == '{"a": 1}'
    assert (body["headers"], body["routing-key"], body["content-type"]) == ({"h": 1}, "q", "application/json")


def test_a_record_that_cannot_be_decoded_is_set_aside_and_blocks_nothing(channel, store, url, connection):
    declare(channel, "q")
    publish(channel, "q", "broken", "behind")
    store.corrupt_first(url.removeprefix("pool+"), "q")

    inbox = consume(channel, "q", ack=True)
    inbox.wait_for(1)

    assert inbox.bodies == ["behind"]
    assert count(channel, UNREADABLE) == 1
    channel.basic_cancel(next(iter(channel._consumers)))


def test_a_message_that_was_set_aside_can_be_consumed_as_any_other(channel, store, url):
    declare(channel, "q")
    publish(channel, "q", "broken")
    store.corrupt_first(url.removeprefix("pool+"), "q")
    assert channel.basic_get("q") is None

    message = channel.basic_get(UNREADABLE)

    assert message.headers["x-death"][0]["queue"] == "q"


def test_the_same_body_can_go_to_many_queues(channel):
    inboxes = []
    for name in ("q", "r"):
        declare(channel, name)
        channel.queue_bind(name, "amq.fanout")
        inboxes.append(Inbox(channel.connection.client))
        channel.basic_consume(name, callback=inboxes[-1])

    Producer(channel).publish({"a": 1}, exchange="amq.fanout")
    for inbox in inboxes:
        while not inbox.messages:
            channel.connection.client.drain_events(timeout=LIMIT)

    assert [inbox.bodies for inbox in inboxes] == [[{"a": 1}], [{"a": 1}]]
