"""Dead-letter exchanges: which messages they get, with which ``x-death``."""

from __future__ import annotations

import time

import pytest
from amqp.exceptions import MessageNacked, PreconditionFailed
from kombu import Exchange, Queue

from kombu_pool.transport.upkeep.default_dead_letter_queue import DEFAULT_DEAD_LETTER_QUEUE
from tests.support.transport.traffic import consume, count, declare, eventually, exists, publish, take_all

DLX = {"x-dead-letter-exchange": "dlx"}
TO_DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@pytest.fixture
def dead(channel):
    """A queue for the dead letters of an exchange."""
    Queue("dead", Exchange("dlx", "direct"), routing_key="q", channel=channel).declare()
    return "dead"


def get(channel, queue):
    return eventually(lambda: channel.basic_get(queue, no_ack=True))


def deaths(message):
    return [(death["queue"], death["reason"], death["count"]) for death in message.headers["x-death"]]


def run_maintenance(channel):
    """Run maintenance as a consuming process does every few seconds."""
    channel.connection.broker.maintenance.run_once()


def test_what_is_rejected_goes_to_the_dead_letter_exchange(channel, dead):
    declare(channel, "q", arguments=DLX)
    publish(channel, "q", "a", headers={"mine": 1}, correlation_id="c", expiration=60)
    before = time.time()

    channel.basic_get("q").reject()

    message = get(channel, dead)
    (death,) = message.headers["x-death"]
    assert (message.payload, message.headers["mine"], message.properties["correlation_id"]) == ("a", 1, "c")
    assert (death["queue"], death["reason"], death["count"]) == ("q", "rejected", 1)
    assert (death["exchange"], death["routing-keys"], death["original-expiration"]) == ("", ["q"], "60000")
    assert before - 1 < death["time"] < time.time() + 1
    assert message.delivery_info["exchange"] == "dlx"
    assert message.delivery_info["routing_key"] == "q"
    assert message.headers["x-first-death-queue"] == message.headers["x-last-death-queue"] == "q"
    assert message.headers["x-first-death-reason"] == "rejected"
    assert "expiration" not in message.properties
    assert count(channel, "q") == 0


ODD_DEATHS = [
    [{"queue": "other"}],
    [{"queue": "q", "reason": "rejected", "count": "many"}],
    [{"queue": "q", "reason": "rejected", "routing-keys": 5}],
    [{"queue": ["q"], "reason": {}}],
    [{"reason": "expired"}, None, 7],
    {"queue": "q"},
    "rejected",
]


@pytest.mark.parametrize("odd", ODD_DEATHS)
def test_what_another_program_wrote_into_x_death_stops_no_dead_letter(channel, dead, odd):
    declare(channel, "q", arguments={**DLX, "x-message-ttl": 200})
    publish(channel, "q", "rejected", "expired", headers={"x-death": odd})
    channel.basic_get("q").reject()

    first = get(channel, dead)
    eventually(lambda: run_maintenance(channel) or count(channel, dead))
    second = get(channel, dead)

    assert [(message.payload, deaths(message)[0]) for message in (first, second)] == [
        ("rejected", ("q", "rejected", 1)),
        ("expired", ("q", "expired", 1)),
    ]


def test_a_well_formed_death_beside_odd_ones_is_counted(channel, dead):
    declare(channel, "q", arguments=DLX)
    known = {"queue": "q", "reason": "rejected", "count": 2, "exchange": "", "routing-keys": ["q"], "time": 1.0}
    publish(channel, "q", "a", headers={"x-death": [{"queue": "q"}, known]})

    channel.basic_get("q").reject()

    assert deaths(get(channel, dead)) == [("q", "rejected", 3)]


def test_a_routing_key_of_its_own_leads_to_a_queue_by_its_name(channel):
    declare(channel, "dead")
    declare(channel, "q", arguments=TO_DEAD)
    publish(channel, "q", "a", "b")
    consume(channel, "q").wait_for(2)

    channel.basic_nack(2, multiple=True, requeue=False)

    # The consumer claims meanwhile, and may be dead-lettering them at this moment.
    eventually(lambda: count(channel, "dead") == 2)
    assert take_all(channel, "dead") == ["a", "b"]


def test_what_is_given_back_is_not_dead(channel, dead):
    declare(channel, "q", arguments=DLX)
    publish(channel, "q", "a")

    channel.basic_get("q").requeue()

    assert (count(channel, "q"), count(channel, dead)) == (1, 0)


def test_what_expires_goes_to_the_dead_letter_exchange(channel, dead):
    declare(channel, "q", arguments={**DLX, "x-message-ttl": 10})
    publish(channel, "q", "a")
    time.sleep(0.02)
    run_maintenance(channel)

    assert deaths(get(channel, dead)) == [("q", "expired", 1)]


def test_a_message_with_an_expiration_does_so_too(channel, dead):
    declare(channel, "q", arguments=DLX)
    publish(channel, "q", "a", expiration=0.01)
    time.sleep(0.02)
    run_maintenance(channel)

    message = get(channel, dead)
    assert deaths(message) == [("q", "expired", 1)]
    assert message.headers["x-death"][0]["original-expiration"] == "10"


@pytest.mark.usefixtures("frequent_maintenance")
def test_a_consumer_of_the_dead_hears_of_them_by_itself(channel, dead, elsewhere):
    declare(channel, "q", arguments={**DLX, "x-message-ttl": 300})
    inbox = consume(elsewhere.channel(), dead, ack=True)
    publish(channel, "q", "a")

    inbox.wait_for(1)

    assert inbox.bodies == ["a"]


def test_what_makes_room_goes_to_the_dead_letter_exchange(channel, dead):
    declare(channel, "q", arguments={**DLX, "x-max-length": 2})
    publish(channel, "q", "a", "b", "c")

    assert deaths(get(channel, dead)) == [("q", "maxlen", 1)]
    assert take_all(channel, "q") == ["b", "c"]


def test_what_makes_room_elsewhere_is_gone(channel):
    declare(channel, "q", arguments={"x-max-length-bytes": 2000})
    publish(channel, "q", *("x" * 500 for _ in range(10)))

    assert 1 <= count(channel, "q") <= 4


def test_a_full_queue_refuses_a_publish(channel):
    declare(channel, "q", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    publish(channel, "q", "a")

    with pytest.raises(MessageNacked, match="'q' is full"):
        publish(channel, "q", "b")

    assert take_all(channel, "q") == ["a"]
    publish(channel, "q", "c")
    assert take_all(channel, "q") == ["c"]


def test_a_full_queue_dead_letters_what_it_refuses_if_it_says_so(channel, dead):
    declare(channel, "q", arguments={**DLX, "x-max-length": 1, "x-overflow": "reject-publish-dlx"})
    publish(channel, "q", "a")

    with pytest.raises(MessageNacked):
        publish(channel, "q", "b")

    message = get(channel, dead)
    assert (message.payload, deaths(message)) == ("b", [("q", "maxlen", 1)])
    assert count(channel, "q") == 1


def test_a_delivery_limit_counts_what_comes_after_the_first_delivery(channel, dead):
    declare(channel, "q", arguments={**DLX, "x-delivery-limit": 2})
    publish(channel, "q", "poison")

    for delivery in range(1, 4):
        message = channel.basic_get("q")
        assert message.delivery_info["delivery_count"] == delivery
        message.requeue()

    assert channel.basic_get("q") is None
    message = get(channel, dead)
    assert message.headers["x-death"][0]["reason"] == "delivery_limit"
    assert message.delivery_info["delivery_count"] == 1


def test_without_an_exchange_what_was_delivered_too_often_is_kept_apart(channel):
    declare(channel, "q", arguments={"x-delivery-limit": 0})
    publish(channel, "q", "poison")
    channel.basic_get("q").requeue()

    assert channel.basic_get("q") is None
    message = get(channel, DEFAULT_DEAD_LETTER_QUEUE)
    assert (message.payload, deaths(message)) == ("poison", [("q", "delivery_limit", 1)])


def test_a_limit_without_an_exchange_leaves_rejecting_as_it_is(channel):
    declare(channel, "q", arguments={"x-delivery-limit": 5})
    publish(channel, "q", "a")
    channel.basic_get("q").reject()

    assert count(channel, "q") == 0
    assert not exists(channel, DEFAULT_DEAD_LETTER_QUEUE)


def test_retrying_by_a_queue_that_waits_counts_the_rounds(channel):
    declare(channel, "work", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "wait"})
    waiting = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "work", "x-message-ttl": 10}
    declare(channel, "wait", arguments=waiting)
    publish(channel, "work", "a")

    for _ in range(2):
        channel.basic_get("work").reject()
        time.sleep(0.02)
        run_maintenance(channel)

    message = get(channel, "work")
    assert deaths(message) == [("wait", "expired", 2), ("work", "rejected", 2)]
    assert message.headers["x-first-death-queue"] == "work"
    assert message.headers["x-last-death-queue"] == "wait"


def test_what_would_go_round_by_itself_for_ever_is_dropped(channel):
    around = {"x-dead-letter-exchange": "", "x-message-ttl": 10}
    declare(channel, "a", arguments={**around, "x-dead-letter-routing-key": "b"})
    declare(channel, "b", arguments={**around, "x-dead-letter-routing-key": "a"})
    publish(channel, "a", "x")
    for _ in range(4):
        time.sleep(0.02)
        run_maintenance(channel)

    assert (count(channel, "a"), count(channel, "b")) == (0, 0)


def test_an_exchange_that_is_not_there_takes_nothing(channel):
    declare(channel, "q", arguments=DLX)
    publish(channel, "q", "a", "b")
    channel.basic_get("q").reject()

    assert take_all(channel, "q") == ["b"]


def test_every_queue_that_is_bound_gets_a_dead_letter(channel):
    for name in ("one", "two"):
        Queue(name, Exchange("dlx", "fanout"), channel=channel).declare()
    declare(channel, "q", arguments=DLX)
    publish(channel, "q", "a")
    channel.basic_get("q").reject()

    assert take_all(channel, "one") == take_all(channel, "two") == ["a"]


def test_what_another_process_posted_is_dead_lettered_too(channel, dead):
    declare(channel, "q", arguments={**DLX, "x-dead-letter-routing-key": "q"})
    channel.connection.broker.data.message_controller.post("q", [{"ttl": None, "body": {"plain": True}}], None)
    channel.basic_get("q").reject()

    message = get(channel, dead)
    assert (message.payload, deaths(message)) == ({"plain": True}, [("q", "rejected", 1)])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"x-dead-letter-exchange": 1}, "must be a text"),
        ({"x-dead-letter-routing-key": "k"}, "needs x-dead-letter-exchange"),
        ({"x-max-length": -1}, "must be a whole number of 0 or more"),
        ({"x-max-length-bytes": "1kB"}, "must be a whole number"),
        ({"x-overflow": "explode"}, "must be one of drop-head, reject-publish, reject-publish-dlx"),
        ({"x-delivery-limit": True}, "must be a whole number"),
        ({"x-max-priority": 256}, "from 0 to 255"),
        ({"x-message-ttl": -1}, "milliseconds"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused(channel, arguments, why):
    with pytest.raises(PreconditionFailed, match=why) as caught:
        declare(channel, "q", arguments=arguments)

    assert caught.value.code == 406
    assert next(iter(arguments)) in str(caught.value)
    assert not exists(channel, "q")


def test_arguments_that_name_a_kind_of_queue_are_accepted_in_silence(channel, caplog):
    declare(channel, "q", arguments={"x-queue-type": "quorum", "x-queue-mode": "lazy", "x-ha-policy": "all"})

    assert "no effect" not in caplog.text
