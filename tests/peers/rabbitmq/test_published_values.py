"""What a client may publish and declare, drawn at random: RabbitMQ's answer is ours, or ours keeps more.

AMQP has fewer types than our stores: a value that RabbitMQ delivers changed is compared in its changed form. What it
refuses because of its wire format (a name of 256 bytes, an integer of 65 bits, a UUID) may be kept here as it is.
"""

from __future__ import annotations

import datetime as dt
import math
import uuid
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kombu import Producer, Queue

from tests.support.peers.brokers import EXAMPLES, REFUSED, Peer
from tests.support.servers import rabbitmq
from tests.support.transport.traffic import eventually

pytestmark = pytest.mark.skipif(not rabbitmq.program(), reason="RabbitMQ is not installed")

NAME = "q"
EXPIRED = "expired"
BASIC = ("correlation_id", "reply_to", "message_id", "type", "app_id", "timestamp", "priority", "expiration")
NUMBERS = ("timestamp", "priority")
#: Within how many seconds RabbitMQ has a dead letter: some histories end its queue.
AT_ONCE = 2.0


def unfolded(moment: dt.datetime) -> dt.datetime:
    """Return a time that is no second one of its hour, which no text of it tells."""
    return moment.replace(fold=0)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | text | st.binary(max_size=30) | st.datetimes(dt.datetime(1970, 1, 2), dt.datetime(2100, 1, 1)).map(unfolded)  # noqa: DTZ001
    | st.decimals(-1000, 1000, places=3) | st.sampled_from([math.nan, math.inf, 2**64, uuid.UUID(int=1), {1}, 1j])
)  # fmt: skip
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4))
headers = st.dictionaries(text | st.just("n" * 300), values, max_size=5)
bodies = st.sampled_from(["", "text", b"", b"\x00\xff", "é" * 70_000, b"\xff" * 300_000]) | st.binary() | text
odd = st.sampled_from(["", "5", 5, -1, 1.5, 300, None, "x" * 256, b"b", {"nested": 1}, math.nan])
properties = st.dictionaries(st.sampled_from([*BASIC, "nosuch"]), odd | text | st.integers(0, 10), max_size=4)
deaths = values | st.lists(
    st.fixed_dictionaries({}, optional={"queue": text, "reason": text, "count": st.integers(0, 9) | odd}), max_size=3
)
arguments = st.dictionaries(
    st.sampled_from(
        ["x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes", "x-max-priority", "x-overflow",
         "x-dead-letter-exchange", "x-dead-letter-routing-key", "x-single-active-consumer", "x-unknown"]
    ),
    odd | st.booleans() | st.integers(0, 10**6) | st.sampled_from(["drop-head", "reject-publish"]),
    max_size=2,
)  # fmt: skip


def delivered(peer: Peer, body: Any, **published: Any) -> Any:
    """Publish a message; return how it is delivered, REFUSED, or EXPIRED."""

    def publish(channel: Any) -> Any:
        queue = Queue(NAME, durable=False, channel=channel)
        queue.declare()
        queue.purge()
        Producer(channel).publish(body, routing_key=NAME, **published)
        message = queue.get(no_ack=True)
        if message is None:
            return EXPIRED
        raw = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
        return raw, message.headers, {name: message.properties.get(name) for name in BASIC}

    return peer.attempt(publish)


def in_amqp(value: Any) -> Any:
    """Return a value as AMQP's types and its client make it."""
    if isinstance(value, dict):
        return {name: in_amqp(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [in_amqp(inner) for inner in value]
    if isinstance(value, bytes):
        with suppress(UnicodeDecodeError):
            return value.decode()
    if isinstance(value, dt.datetime):
        return value.replace(microsecond=0)
    return value


@EXAMPLES
@given(headers=headers, body=bodies)
def test_headers_and_bodies_come_as_from_rabbitmq(peer: Peer, ours: Peer, headers: Any, body: Any) -> None:
    expected, answer = delivered(peer, body, headers=headers), delivered(ours, body, headers=headers)

    if answer == REFUSED:
        assert expected == REFUSED
        return
    assert repr(answer[1]) == repr(headers)
    assert answer[0] == (body.encode() if isinstance(body, str) else body)
    if expected != REFUSED:
        assert in_amqp(answer[1]) == in_amqp(expected[1])
        assert answer[0] == expected[0]


@EXAMPLES
@given(properties=properties)
@example(properties={"expiration": 0})
def test_properties_come_as_from_rabbitmq(peer: Peer, ours: Peer, properties: Any) -> None:
    expected, answer = delivered(peer, "body", **properties), delivered(ours, "body", **properties)

    if EXPIRED in (expected, answer):
        assert properties["expiration"] == 0
    elif expected != REFUSED:
        assert answer != REFUSED
        of_amqp = [name for name, value in properties.items() if has_the_type_of_amqp(name, value)]
        assert [in_amqp(answer[2][name]) for name in of_amqp] == [in_amqp(expected[2][name]) for name in of_amqp]


def has_the_type_of_amqp(name: str, value: Any) -> bool:
    """Return whether a property is none that the client writes as an empty text."""
    return name in BASIC and (isinstance(value, str | bytes) if name not in NUMBERS else isinstance(value, int))


@EXAMPLES
@given(deaths=deaths)
@example(deaths=[{"queue": "other"}])
@example(deaths=[{"queue": NAME, "reason": "rejected", "count": "many"}])
def test_a_dead_letter_with_an_odd_history_arrives_as_in_rabbitmq(peer: Peer, ours: Peer, deaths: Any) -> None:
    def reject(channel: Any) -> Any:
        dead, queue = Queue("dead", durable=False, channel=channel), Queue("origin", durable=False, channel=channel)
        queue.queue_arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
        for one in (dead, queue):
            one.declare()
            one.purge()
        Producer(channel).publish("body", routing_key="origin", headers={"x-death": deaths})
        queue.get().reject()
        eventually(lambda: dead.queue_declare(passive=True).message_count, AT_ONCE)
        last = dead.get(no_ack=True).headers["x-death"][0]
        return last["queue"], last["reason"]

    if peer.attempt(reject) != REFUSED:
        assert ours.attempt(reject) == ("origin", "rejected")


@EXAMPLES
@given(arguments=arguments)
@example(arguments={"x-expires": 0})
@example(arguments={"x-single-active-consumer": "yes"})
@example(arguments={"x-message-ttl": math.inf})
@example(arguments={"x-dead-letter-exchange": b"bytes"})
@example(arguments={"x-overflow": b"\xff"})
def test_arguments_are_refused_as_by_rabbitmq(peer: Peer, ours: Peer, arguments: Any) -> None:
    def declare(channel: Any) -> None:
        queue = Queue("declared", durable=False, channel=channel, queue_arguments=arguments)
        queue.declare()
        queue.delete()

    if peer.attempt(declare) != REFUSED:
        assert ours.attempt(declare) != REFUSED
    elif not any(is_only_too_narrow(value) for value in arguments.values()):
        assert ours.attempt(declare) == REFUSED


def is_only_too_narrow(value: Any) -> bool:
    """Return whether RabbitMQ refuses a number that has a meaning here."""
    return value is None or (isinstance(value, float) and (value > 0 or math.isnan(value)))
