"""Messages through the API: published as by a client, and looked at without a trace."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from decimal import Decimal
from itertools import count

import pytest
from kombu import Consumer, Producer, Queue

from kombu_pool.errors import PoolUnavailable
from kombu_pool.web.management import getting


@pytest.fixture
def orders(api):
    api.done("PUT", "/queues/%2F/orders", {"arguments": {"x-delivery-limit": 1}})
    return api


def claim_counts(api):
    return [message["claim_count"] for message in next(api.store.message_controller.list("orders", echo=True))]


def stored(api, queue="orders"):
    """The records of a queue, without what differs between any two messages."""
    messages = next(api.store.message_controller.list(queue, echo=True))
    properties = ("id", "age", "claim_id", "body")
    return [
        {
            **{name: value for name, value in message.items() if name not in properties},
            "body": {**message["body"], "properties": without_tag(message["body"]["properties"])},
        }
        for message in messages
    ]


def without_tag(properties):
    return {name: value for name, value in properties.items() if name not in ("delivery_tag", "delivery_info")}


def test_a_published_message_is_stored_as_a_producer_stores_it(orders):
    properties = {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "headers": {"a": 1, "b": [1, {"c": True}]},
        "delivery_mode": 2,
        "priority": 3,
        "correlation_id": "c",
        "reply_to": "r",
        "expiration": "60000",
        "message_id": "id1",
        "timestamp": 5,
        "type": "t",
        "app_id": "ap",
    }
    orders.publish("orders", '{"item": "tea"}', **properties)
    with orders.channel() as channel:
        options = {name: value for name, value in properties.items() if name not in ("expiration", "headers")}
        Producer(channel).publish(
            '{"item": "tea"}', routing_key="orders", expiration=60, headers=properties["headers"], **options
        )

    ours, producers = stored(orders)

    assert ours == producers


def test_a_consumer_gets_what_the_api_published(orders):
    received = []
    orders.publish("orders", '{"item": "tea"}', content_type="application/json", headers={"h": 1})
    orders.publish("orders", base64.b64encode(b"\x00\xff").decode(), "base64", content_encoding="binary")
    with orders.channel() as channel:
        queue = Queue("orders", channel=channel, queue_arguments={"x-delivery-limit": 1})
        with Consumer(channel, [queue], callbacks=[lambda body, message: received.append((body, message))]):
            while len(received) < 2:
                channel.connection.client.drain_events(timeout=60)
        for _, message in received:
            message.ack()

    assert [body for body, _ in received] == [{"item": "tea"}, b"\x00\xff"]
    assert received[0][1].headers == {"h": 1}


def test_messages_that_stay_are_undisturbed(orders):
    for number in range(3):
        orders.publish("orders", str(number))

    for _ in range(5):
        assert orders.payloads("orders") == ["0", "1", "2"]
        assert orders.payloads("orders", count=1, ackmode="reject_requeue_true") == ["0"]

    assert claim_counts(orders) == [0, 0, 0]
    assert [message["message_count"] for message in orders.messages("orders")] == [2, 1, 0]
    assert orders.queue("orders")["messages_unacknowledged"] == 0


def test_acknowledged_messages_are_deleted(any_api):
    api = any_api
    api.done("PUT", "/queues/%2F/orders", {})
    for number in range(250):
        api.publish("orders", str(number))

    taken = api.messages("orders", 240, "ack_requeue_false")

    assert [message["payload"] for message in taken] == [str(number) for number in range(240)]
    assert taken[-1]["message_count"] == 10
    assert not any(message["redelivered"] for message in taken)
    assert api.payloads("orders") == [str(number) for number in range(240, 250)]
    assert api.queue("orders")["messages"] == 10


def test_rejected_messages_go_to_the_dead_letter_exchange(api):
    api.done("PUT", "/queues/%2F/dead", {})
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    api.done("PUT", "/queues/%2F/orders", {"arguments": arguments})
    api.publish("orders", "bad", headers={"h": 1})

    assert api.payloads("orders", ackmode="reject_requeue_false") == ["bad"]
    (dead,) = api.messages("dead")

    assert (dead["payload"], dead["exchange"], dead["routing_key"]) == ("bad", "", "dead")
    assert dead["properties"]["headers"]["h"] == 1
    (death,) = dead["properties"]["headers"]["x-death"]
    assert (death["queue"], death["reason"], death["count"]) == ("orders", "rejected", 1)


def test_a_message_that_a_consumer_returned_is_redelivered(orders):
    orders.publish("orders")
    with orders.channel() as channel:
        channel.basic_get("orders").requeue()

    assert orders.messages("orders")[0]["redelivered"]
    assert orders.messages("orders", ackmode="ack_requeue_false")[0]["redelivered"]


def test_a_body_that_is_no_text_comes_in_base64(orders):
    orders.publish("orders", "/wA=", "base64")
    orders.publish("orders", "é")

    binary, text = orders.messages("orders")

    assert (binary["payload"], binary["payload_encoding"], binary["payload_bytes"]) == ("/wA=", "base64", 2)
    assert (text["payload"], text["payload_encoding"], text["payload_bytes"]) == ("é", "string", 2)
    assert orders.messages("orders", encoding="base64")[1]["payload"] == base64.b64encode("é".encode()).decode()
    cut = orders.messages("orders", truncate=1)[1]
    assert (cut["payload"], cut["payload_encoding"], cut["payload_bytes"]) == ("ww==", "base64", 2)


def test_a_message_of_the_library_is_shown_as_json(api):
    api.done("PUT", "/queues/%2F/orders", {})
    api.store.message_controller.post("orders", [{"ttl": None, "body": {"item": "tea", "raw": b"\xff"}}], None)

    (message,) = api.messages("orders")

    assert message["payload"] == '{"item": "tea", "raw": "\\\\xff"}'
    assert message["properties"] == {"content_type": "application/json", "content_encoding": "utf-8"}


def test_headers_that_json_has_not_are_shown(api):
    api.done("PUT", "/queues/%2F/orders", {})
    headers = {"at": datetime(2026, 1, 2, tzinfo=timezone.utc), "n": Decimal("1.5"), "b": b"\xff", "f": float("inf")}
    with api.channel() as channel:
        channel.basic_publish(channel.prepare_message("m", headers=headers), "", "orders")

    shown = api.messages("orders")[0]["properties"]["headers"]

    assert shown == {"at": "2026-01-02 00:00:00+00:00", "n": "1.5", "b": "/w==", "f": "inf"}


def test_an_unroutable_message_is_published_and_not_routed(api):
    api.done("PUT", "/exchanges/%2F/events", {"type": "topic"})
    body = {"routing_key": "a.b", "payload": "m", "payload_encoding": "string", "properties": {}}

    assert api.publish("nosuch") == {"routed": False}
    assert api.done("POST", "/exchanges/%2F/events/publish", body) == {"routed": False}
    api.done("PUT", "/queues/%2F/all", {})
    api.done("POST", "/bindings/%2F/e/events/q/all", {"routing_key": "a.#"})
    assert api.done("POST", "/exchanges/%2F/events/publish", body) == {"routed": True}
    (message,) = api.messages("all")
    assert (message["exchange"], message["routing_key"]) == ("events", "a.b")


def test_a_full_queue_and_an_absent_exchange_refuse_a_message(api):
    api.done("PUT", "/queues/%2F/full", {"arguments": {"x-max-length": 1, "x-overflow": "reject-publish"}})
    body = {"routing_key": "full", "payload": "m", "payload_encoding": "string", "properties": {}}
    api.publish("full")

    full = api.refused("POST", "/exchanges/%2F/amq.default/publish", body)
    absent = api.refused("POST", "/exchanges/%2F/nosuch/publish", body)

    assert full[:2] == absent[:2] == (400, "bad_request")
    assert full[2].startswith("rejected: ")
    assert absent[2] == "404 NOT_FOUND - no exchange 'nosuch' here"


PUBLISHED = {"routing_key": "orders", "payload": "m", "payload_encoding": "string", "properties": {}}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"payload": None}, "payload_not_string"),
        ({"payload": 5}, "payload_not_string"),
        ({"payload_encoding": "bad"}, ["unsupported_encoding", "bad"]),
        ({"payload_encoding": "base64"}, ["not_base64", "m"]),
        ({"payload": "\ud800"}, ["not_string", "\ud800"]),
        ({"routing_key": 5}, ["not_string", "routing_key"]),
        ({"properties": {"priority": "x"}}, ["not_int", "priority"]),
        ({"properties": {"priority": True}}, ["not_int", "priority"]),
        ({"properties": {"expiration": 5}}, ["not_string", "expiration"]),
        (
            {"properties": {"expiration": "soon"}},
            "expiration must be a number of milliseconds of 0 or more, not 'soon'",
        ),
        ({"properties": {"headers": [1]}}, "headers must be an object, not [1]"),
        ({"properties": [1]}, "properties must be an object, not [1]"),
        ({"properties": {"prority": 1}}, "a message has no property prority: "),
        ({"paylod": "m"}, "a message has no paylod: "),
    ],
)
def test_an_impossible_message_is_refused(orders, change, reason):
    status, error, given = orders.refused("POST", "/exchanges/%2F/amq.default/publish", {**PUBLISHED, **change})

    assert (status, error) == (400, "bad_request")
    assert given == reason or given.startswith(reason)
    assert orders.queue("orders")["messages"] == 0


@pytest.mark.parametrize("missing", PUBLISHED)
def test_a_message_needs_all_of_its_parts(orders, missing):
    body = {name: value for name, value in PUBLISHED.items() if name != missing}

    assert orders.refused("POST", "/exchanges/%2F/amq.default/publish", body)[2].startswith(
        f"the body has no {missing}"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"count": "x"},
        {"count": -1},
        {"count": True},
        {"count": getting.MAX_COUNT + 1},
        {"count": None},
        {"ackmode": "bad"},
        {"ackmode": ["ack_requeue_true"]},
        {"encoding": "bad"},
        {"truncate": "x"},
        {"requeue": True},
    ],
)
def test_an_impossible_get_is_refused_and_takes_nothing(orders, change):
    orders.publish("orders")
    body = {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}

    bodies = [{**body, **change}, *({key: body[key] for key in body if key != name} for name in body)]
    refusals = {orders.refused("POST", "/queues/%2F/orders/get", each)[:2] for each in bodies}

    assert refusals == {(400, "bad_request")}
    assert orders.queue("orders")["messages"] == 1


def test_a_get_has_bounds(orders, monkeypatch):
    monkeypatch.setattr(getting, "MAX_BYTES", 2500)
    for number in range(10):
        orders.publish("orders", str(number) * 1000)

    looked, taken = orders.messages("orders"), orders.messages("orders", 2, "ack_requeue_false")

    assert [message["message_count"] for message in looked] == [9, 8, 7]
    assert [message["message_count"] for message in taken] == [9, 8]
    assert orders.messages("orders", 0) == []


def test_a_paused_queue_can_be_looked_at_only(orders):
    orders.publish("orders")
    orders.store.queue_controller.pause("orders")

    assert orders.payloads("orders") == ["hello"]
    assert orders.payloads("orders", ackmode="ack_requeue_false") == []
    assert orders.queue("orders")["paused"]


def test_no_message_is_taken_twice_by_two_that_get_at_once(orders):
    numbers = count()
    for _ in range(60):
        orders.publish("orders", str(next(numbers)))
    with ThreadPoolExecutor(4) as threads:
        taken = list(threads.map(lambda _: orders.payloads("orders", count=5, ackmode="ack_requeue_false"), range(12)))

    assert sorted(int(each) for batch in taken for each in batch) == list(range(60))


def test_what_was_taken_is_answered_though_the_pool_fails_after_it(orders, monkeypatch, caplog):
    for number in range(5):
        orders.publish("orders", str(number))
    calls, settled = count(), getting._settled

    def fail_in_second_call(*arguments):
        if next(calls) == 1:
            raise PoolUnavailable("default", "refused")
        return settled(*arguments)

    monkeypatch.setattr(getting, "_BATCH", 2)
    monkeypatch.setattr(getting, "_settled", fail_in_second_call)
    taken = orders.payloads("orders", ackmode="ack_requeue_false")
    next(calls)

    assert taken == ["0", "1"]
    assert "ends after 2 messages" in caplog.text
    assert orders.payloads("orders", ackmode="ack_requeue_false") == ["2", "3", "4"]
