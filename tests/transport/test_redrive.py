"""Redriven dead letters of Kombu's: their address, and their ``x-death``."""

from __future__ import annotations

from contextlib import closing

import pytest
from kombu import Exchange, Queue

import kombu_pool
from kombu_pool.transport.upkeep.default_dead_letter_queue import DEFAULT_DEAD_LETTER_QUEUE
from tests.support.transport.traffic import count, declare, eventually, publish

TO_DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@pytest.fixture
def mortal(channel):
    """A queue of an exchange, whose dead letters go to the queue "dead"."""
    declare(channel, "dead")
    Queue("q", Exchange("work", "topic"), routing_key="jobs.#", queue_arguments=TO_DEAD, channel=channel).declare()
    return "q"


def get(channel, queue):
    return eventually(lambda: channel.basic_get(queue))


def redrive(channel, queue, **choice):
    return channel.connection.broker.data.redrive(queue, **choice)


def deaths(message):
    return [(death["queue"], death["reason"], death["count"]) for death in message.headers["x-death"]]


def address(message):
    return message.delivery_info["exchange"], message.delivery_info["routing_key"]


def test_a_letter_comes_back_as_it_came_and_tells_of_its_death(channel, mortal):
    publish(channel, "jobs.tea", "a", exchange="work", headers={"mine": 1}, priority=3, expiration=60)
    get(channel, mortal).reject()
    eventually(lambda: count(channel, "dead") == 1)

    assert redrive(channel, "dead").moved == {mortal: 1}

    message = get(channel, mortal)
    assert (message.payload, message.headers["mine"], message.properties["priority"]) == ("a", 1, 3)
    assert address(message) == ("work", "jobs.tea")
    assert deaths(message) == [("q", "rejected", 1)]
    assert not message.delivery_info["redelivered"]
    assert count(channel, "dead") == 0


def test_one_that_dies_again_says_how_often(channel, mortal):
    publish(channel, "jobs.tea", "a", exchange="work")
    for _ in range(2):
        get(channel, mortal).reject()
        eventually(lambda: count(channel, "dead") == 1)
        redrive(channel, "dead")
    get(channel, mortal).reject()

    message = get(channel, "dead")

    assert deaths(message) == [("q", "rejected", 3)]
    assert message.headers["x-death"][0]["routing-keys"] == ["jobs.tea"]
    assert message.headers["x-first-death-queue"] == "q"


def test_in_another_queue_it_has_that_queues_address(channel, mortal):
    declare(channel, "rescue")
    publish(channel, "jobs.tea", "a", exchange="work")
    get(channel, mortal).reject()
    eventually(lambda: count(channel, "dead") == 1)

    redrive(channel, "dead", target="rescue")

    message = get(channel, "rescue")
    assert address(message) == ("", "rescue")
    assert deaths(message) == [("q", "rejected", 1)]


def test_what_was_delivered_too_often_is_delivered_afresh(channel):
    declare(channel, "q", arguments={"x-delivery-limit": 1})
    publish(channel, "q", "a")

    counts = []
    for _ in range(2):
        for _ in range(2):
            message = get(channel, "q")
            counts.append(message.delivery_info["delivery_count"])
            message.requeue()
        assert channel.basic_get("q") is None
        eventually(lambda: count(channel, DEFAULT_DEAD_LETTER_QUEUE) == 1)
        assert redrive(channel, DEFAULT_DEAD_LETTER_QUEUE, reasons=["max_claim_count"]).moved == {"q": 1}

    assert counts == counts[:2] * 2
    assert deaths(get(channel, "q")) == [("q", "delivery_limit", 2)]


def test_what_died_on_its_way_goes_back_step_by_step(channel):
    declare(channel, "dead")
    declare(channel, "second", arguments=TO_DEAD)
    declare(channel, "first", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "second"})
    publish(channel, "first", "a")
    for queue in ("first", "second"):
        get(channel, queue).reject()
    eventually(lambda: count(channel, "dead") == 1)

    assert redrive(channel, "dead").moved == {"second": 1}

    message = get(channel, "second")
    assert deaths(message) == [("second", "rejected", 1), ("first", "rejected", 1)]
    assert message.headers["x-first-death-queue"] == "first"


def test_a_program_that_uses_the_library_gives_the_address_back_too(channel, mortal, url):
    publish(channel, "jobs.tea", "a", exchange="work")
    get(channel, mortal).reject()
    eventually(lambda: count(channel, "dead") == 1)

    with closing(kombu_pool.open(url)) as store:
        assert store.redrive("dead").moved == {mortal: 1}

    assert address(get(channel, mortal)) == ("work", "jobs.tea")


def test_what_is_no_kombu_message_is_left_as_it_is(channel, mortal):
    data = channel.connection.broker.data
    letter = {"queue": mortal, "reason": "rejected", "time": 1.0, "count": 1}
    data.message_controller.post("dead", [{"ttl": None, "body": {"plain": True}, "dead_letter": letter}], None)

    redrive(channel, "dead")

    assert data.message_controller.first(mortal)["body"] == {"plain": True}
