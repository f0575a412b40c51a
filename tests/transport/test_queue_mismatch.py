"""Declaring a queue that exists: which differences are errors, and what an error says."""

from __future__ import annotations

import logging

import pytest
from amqp.exceptions import PreconditionFailed, ResourceLocked
from kombu import Queue

from kombu_pool import errors
from tests.support.transport.traffic import consumers, declare, exists, publish, take_all

SAME = [
    ({"x-custom": (1, 2)}, {"x-custom": (1, 2)}),
    ({"x-custom": (1, 2)}, {"x-custom": [1, 2]}),
    ({"x-custom": 1}, {"x-custom": 2}),
    ({"x-custom": 1}, {}),
    ({}, {"x-queue-type": "classic"}),
    ({"x-queue-type": "classic"}, {"x-queue-type": "quorum"}),
    ({"x-message-ttl": 5000}, {"x-message-ttl": 5000.0}),
    ({"x-message-ttl": None}, {}),
    ({"x-pool-flavor": None, "x-max-length": 3}, {"x-max-length": 3}),
]
OTHER = [
    ({"x-message-ttl": 5000}, {"x-message-ttl": 6000}, "x-message-ttl", "6000", "5000"),
    ({"x-message-ttl": 5000}, {}, "x-message-ttl", "None", "5000"),
    ({}, {"x-max-priority": 5}, "x-max-priority", "5", "None"),
    ({"x-dead-letter-exchange": "a"}, {"x-dead-letter-exchange": "b"}, "x-dead-letter-exchange", "'b'", "'a'"),
    ({"x-expires": 60000}, {}, "x-expires", "None", "60000"),
]


@pytest.mark.parametrize(("first", "second"), SAME, ids=repr)
def test_what_has_no_effect_makes_no_difference(channel, elsewhere, first, second):
    declare(channel, "q", arguments=first)

    declare(elsewhere.channel(), "q", arguments=second)


@pytest.mark.parametrize(("first", "second", "argument", "ours", "theirs"), OTHER, ids=repr)
def test_a_difference_is_named_with_both_values_and_the_ways_out(channel, first, second, argument, ours, theirs):
    declare(channel, "q", arguments=first)

    with pytest.raises(PreconditionFailed) as raised:
        declare(channel, "q", arguments=second)

    text = str(raised.value)
    assert f"inequivalent arg '{argument}' for queue 'q'" in text
    assert f"this declaration has {ours}, the queue has {theirs}" in text
    assert "delete" in text
    assert "on_queue_mismatch" in text
    assert raised.value.code == 406


def test_a_property_that_differs_is_named(channel):
    declare(channel, "q")

    with pytest.raises(PreconditionFailed, match="inequivalent durable for queue 'q': this declaration has False"):
        declare(channel, "q", durable=False)


@pytest.mark.parametrize(
    "other",
    [
        {"arguments": {"x-message-ttl": 1}},
        {"arguments": {"x-expires": 1}},
        {"durable": False},
        {"auto_delete": True},
    ],
    ids=repr,
)
def test_a_queue_that_differs_is_kept_if_the_option_says_so(connect, caplog, other):
    caplog.set_level(logging.WARNING)
    channel = connect(on_queue_mismatch="keep").channel()
    declare(channel, "q", arguments={"x-max-length": 100})

    for _ in range(2):
        declare(channel, "q", **other)

    publish(channel, "q", "a")
    channel.basic_consume("q", callback=print, consumer_tag="tag")
    channel.basic_cancel("tag")
    assert consumers(channel, "q") == 0
    channel.connection.broker.maintenance.run_once()
    assert exists(channel, "q")
    lines = [record.getMessage() for record in caplog.records if "'q' keeps" in record.getMessage()]
    assert len(lines) == 1


def test_a_kept_queue_takes_and_gives_messages(connect):
    channel = connect(on_queue_mismatch="keep").channel()
    Queue("q", channel=channel, max_length=10).declare()
    Queue("q", channel=channel, message_ttl=0.001).declare()
    publish(channel, "q", "a")

    assert take_all(channel, "q") == ["a"]


def test_who_may_use_a_queue_is_never_left_as_it_is(connect):
    channel = connect(on_queue_mismatch="keep").channel()
    declare(channel, "q")
    with pytest.raises(PreconditionFailed, match="inequivalent exclusive"):
        declare(channel, "q", exclusive=True)
    declare(channel, "mine", exclusive=True)

    with pytest.raises(ResourceLocked):
        declare(connect(on_queue_mismatch="keep").channel(), "mine")


def test_there_are_two_ways_to_meet_a_difference(connect):
    with pytest.raises(errors.ConfigurationError, match="on_queue_mismatch"):
        connect(on_queue_mismatch="ignore").connect()
