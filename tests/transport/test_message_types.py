"""The types of headers, properties and bodies: kept as they were published, or refused at the publish."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

import pytest
from kombu import Producer
from kombu.exceptions import OperationalError

from kombu_pool import errors
from kombu_pool.transport import gather
from tests.support.transport.traffic import consume, count, declare, publish, take_all

HEADERS = {
    "naive": dt.datetime(2026, 3, 29, 1, 30, 0, 123456),  # noqa: DTZ001 - naive on purpose
    "aware": dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.timezone(dt.timedelta(hours=-8))),
    "date": dt.date(2026, 3, 29),
    "decimal": Decimal("1.50"),
    "uuid": uuid.UUID(int=7),
    "bytes": b"\x00\xff",
    "nested": {"list": [dt.date(2026, 3, 29), {"deep": Decimal(1)}, None]},
}


def test_headers_keep_their_types(channel):
    declare(channel, "q")
    publish(channel, "q", "a", headers=dict(HEADERS))

    headers = channel.basic_get("q").headers

    assert headers == HEADERS
    assert repr(headers) == repr(HEADERS)


def test_headers_of_a_dead_letter_keep_their_types(channel):
    declare(channel, "dead")
    declare(channel, "q", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
    publish(channel, "q", "a", headers=dict(HEADERS))

    channel.basic_get("q").reject()

    headers = consume(channel, "dead").wait_for(1)[0].headers
    assert {name: headers[name] for name in HEADERS} == HEADERS


def test_a_headers_binding_compares_values_of_every_type(channel):
    channel.exchange_declare("e", "headers")
    declare(channel, "q")
    channel.queue_bind("q", "e", arguments={"when": HEADERS["naive"], "id": HEADERS["uuid"]})

    publish(channel, "", "other", exchange="e", headers={"when": HEADERS["naive"], "id": uuid.UUID(int=8)})
    publish(channel, "", "same", exchange="e", headers={"when": HEADERS["naive"], "id": HEADERS["uuid"]})

    assert take_all(channel, "q") == ["same"]


@pytest.mark.parametrize("value", [{1, 2}, dt.timedelta(1), object()], ids=["set", "timedelta", "object"])
def test_a_header_of_another_type_is_refused_by_its_name(channel, value):
    declare(channel, "q")

    with pytest.raises(errors.InvalidMessage, match="odd") as raised:
        publish(channel, "q", "a", headers={"even": 2, "odd": value})

    assert type(value).__name__ in str(raised.value)
    assert count(channel, "q") == 0


def test_a_buffered_message_is_refused_when_it_is_published(channel):
    declare(channel, "q")
    producer = Producer(channel)

    with gather(producer):
        publish(channel, "q", "before")
        with pytest.raises(errors.InvalidMessage, match="odd"):
            producer.publish("a", routing_key="q", headers={"odd": {1}})
        producer.publish("after", routing_key="q")

    assert sorted(take_all(channel, "q")) == ["after", "before"]


@pytest.mark.parametrize("body", [{"a": 1}, [1], 7, None, {1}], ids=repr)
def test_a_body_that_is_neither_text_nor_bytes_is_refused(channel, body):
    declare(channel, "q")

    with pytest.raises(errors.InvalidMessage, match=type(body).__name__):
        publish(channel, "q", body, content_type="application/x-own", content_encoding="binary")
    with pytest.raises(errors.InvalidMessage, match=type(body).__name__):
        channel.basic_publish(body, routing_key="q")

    assert count(channel, "q") == 0


def test_the_serializer_raw_takes_no_mapping(channel):
    declare(channel, "q")

    with pytest.raises((errors.InvalidMessage, OperationalError), match="dict"):
        publish(channel, "q", {"a": 1}, serializer="raw")

    assert count(channel, "q") == 0


@pytest.mark.parametrize("body", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes")], ids=["bytes", "array", "view"])
def test_a_body_of_bytes_arrives_as_bytes(channel, body):
    declare(channel, "q")
    publish(channel, "q", body, content_type="application/data", content_encoding="binary")

    assert channel.basic_get("q").body == b"bytes"


def test_properties_that_amqp_does_not_know_are_ignored(channel):
    declare(channel, "q")
    basic = {"correlation_id": "c", "reply_to": "r", "message_id": "m", "type": "t", "app_id": "a", "timestamp": 5}
    publish(channel, "q", "a", **basic, serial=object(), link={1, 2}, chord=None)

    properties = channel.basic_get("q").properties

    assert properties == {**basic, "delivery_mode": 2, "priority": 0}


def test_the_callers_properties_stay_as_they_are(channel):
    declare(channel, "q")
    given = {"unknown": object(), "correlation_id": "c"}
    message = channel.prepare_message(b"a", content_type="application/data", properties=given)

    channel.basic_publish(message, routing_key="q")

    assert given.keys() == {"unknown", "correlation_id"}
    assert channel.basic_get("q").properties == {"correlation_id": "c"}


def test_a_basic_property_that_cannot_be_encoded_is_refused_by_its_name(channel):
    declare(channel, "q")

    with pytest.raises(errors.InvalidMessage, match="correlation_id"):
        publish(channel, "q", "a", correlation_id=object())
