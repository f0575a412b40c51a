"""Dead letters that no queue takes are kept in the default queue, within bounds and with a log line."""

from __future__ import annotations

import logging

import pytest

from kombu_pool.errors import QueueIsFull
from kombu_pool.transport.upkeep.default_dead_letter_queue import DEFAULT_DEAD_LETTER_QUEUE, DefaultDeadLetterQueue
from tests.support.transport.traffic import count, declare, eventually, exists, publish, take_all

MISSPELT = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "daed"}
ABSENT = {"x-dead-letter-exchange": "absent"}


def reject(channel, *bodies, queue="q"):
    publish(channel, queue, *bodies)
    for _ in bodies:
        channel.basic_get(queue).reject()


def kept(channel):
    return eventually(lambda: channel.basic_get(DEFAULT_DEAD_LETTER_QUEUE, no_ack=True))


def metadata(channel):
    return channel.connection.broker.data.queue_controller.get_metadata(DEFAULT_DEAD_LETTER_QUEUE)


def lines(caplog):
    return [record.getMessage() for record in caplog.records if DEFAULT_DEAD_LETTER_QUEUE in record.getMessage()]


@pytest.mark.parametrize("arguments", [MISSPELT, ABSENT], ids=["key", "exchange"])
def test_what_leads_to_no_queue_is_kept_with_its_reason(channel, arguments):
    declare(channel, "q", arguments=arguments)

    reject(channel, "a", "b", "c")

    assert count(channel, DEFAULT_DEAD_LETTER_QUEUE) == 3
    message = kept(channel)
    assert message.payload == "a"
    assert [(death["queue"], death["reason"]) for death in message.headers["x-death"]] == [("q", "rejected")]
    assert message.delivery_info["exchange"] == arguments["x-dead-letter-exchange"]
    assert count(channel, "q") == 0


def test_an_exchange_without_a_matching_binding_leads_to_the_default_queue(channel):
    channel.exchange_declare("dlx", "direct")
    declare(channel, "q", "dead")
    channel.queue_bind("dead", "dlx", "right")
    declare(channel, "other", arguments={"x-dead-letter-exchange": "dlx", "x-dead-letter-routing-key": "wrong"})

    reject(channel, "a", queue="other")

    assert (take_all(channel, "dead"), kept(channel).payload) == ([], "a")


def test_what_expires_or_makes_room_without_a_home_is_kept(channel):
    declare(channel, "q", arguments={**MISSPELT, "x-max-length": 1})
    publish(channel, "q", "first", "last")
    declare(channel, "brief", arguments=MISSPELT)
    publish(channel, "brief", "old", expiration=0.001)

    def bodies():
        channel.connection.broker.maintenance.run_once()
        return exists(channel, DEFAULT_DEAD_LETTER_QUEUE) and count(channel, DEFAULT_DEAD_LETTER_QUEUE) == 2

    eventually(bodies)
    reasons = {message.payload: message.headers["x-death"][0]["reason"] for message in (kept(channel), kept(channel))}
    assert reasons == {"first": "maxlen", "old": "expired"}


def test_what_is_kept_can_be_redriven(channel):
    declare(channel, "q", arguments=MISSPELT)
    reject(channel, "a")

    assert channel.connection.broker.data.redrive(DEFAULT_DEAD_LETTER_QUEUE).moved == {"q": 1}
    assert take_all(channel, "q") == ["a"]


def test_a_home_that_is_there_gets_its_dead_letters(channel):
    declare(channel, "daed")
    declare(channel, "q", arguments=MISSPELT)
    reject(channel, "a")

    assert take_all(channel, "daed") == ["a"]
    assert not exists(channel, DEFAULT_DEAD_LETTER_QUEUE)


def test_a_queue_without_an_exchange_keeps_nothing(channel):
    declare(channel, "q")
    reject(channel, "a")

    assert not exists(channel, DEFAULT_DEAD_LETTER_QUEUE)


def test_the_queue_keeps_ten_thousand_dead_letters_for_seven_days(channel):
    declare(channel, "q", arguments=MISSPELT)
    reject(channel, "a")

    assert metadata(channel) == {"_max_length": 10_000, "_default_message_ttl": 7 * 86400}


def test_the_bounds_are_options(connect):
    declare(connect().channel(), "q", arguments=MISSPELT)
    reject(connect().channel(), "before")
    channel = connect(dead_letter_max_length=2, dead_letter_ttl=3600).channel()

    reject(channel, "a", "b", "c")

    assert metadata(channel) == {"_max_length": 2, "_default_message_ttl": 3600}
    assert take_all(channel, DEFAULT_DEAD_LETTER_QUEUE) == ["b", "c"]


def test_without_bounds_all_are_kept_for_ever(connect):
    channel = connect(dead_letter_max_length=0, dead_letter_ttl=0).channel()
    declare(channel, "q", arguments=MISSPELT)
    reject(channel, "a")

    assert metadata(channel) == {}


def test_a_declaration_keeps_the_bounds_that_it_names(channel):
    declare(channel, DEFAULT_DEAD_LETTER_QUEUE, arguments={"x-max-length": 1})
    declare(channel, "q", arguments=MISSPELT)
    reject(channel, "a", "b")

    assert take_all(channel, DEFAULT_DEAD_LETTER_QUEUE) == ["b"]
    assert metadata(channel)["_default_message_ttl"] == 7 * 86400
    declare(channel, DEFAULT_DEAD_LETTER_QUEUE, arguments={"x-max-length": 1})


@pytest.mark.parametrize("overflow", ["reject-publish", "reject-publish-dlx"])
def test_the_first_dead_letters_make_room_even_if_a_declaration_refuses_the_overflow(channel, overflow):
    bounds = {"x-max-length": 2, "x-overflow": overflow}
    declare(channel, DEFAULT_DEAD_LETTER_QUEUE, arguments=bounds)
    declare(channel, "q", arguments=MISSPELT)

    reject(channel, "a", "b", "c")

    assert take_all(channel, DEFAULT_DEAD_LETTER_QUEUE) == ["b", "c"]
    declare(channel, DEFAULT_DEAD_LETTER_QUEUE, arguments=bounds)
    reject(channel, *"defg")
    assert take_all(channel, DEFAULT_DEAD_LETTER_QUEUE) == ["f", "g"]


def test_a_queue_that_was_deleted_is_made_again(channel):
    declare(channel, "q", arguments=MISSPELT)
    reject(channel, "a")
    channel.queue_delete(DEFAULT_DEAD_LETTER_QUEUE)

    reject(channel, "b")

    assert take_all(channel, DEFAULT_DEAD_LETTER_QUEUE) == ["b"]
    assert metadata(channel)["_max_length"] == 10_000


def delete_after_bounding(monkeypatch, channel, times):
    """Delete the queue, as another process may, each time after it was made."""
    genuine, deleted = DefaultDeadLetterQueue._bound, []

    def bound(self, project):
        genuine(self, project)
        if len(deleted) < times:
            deleted.append(project)
            channel.queue_delete(DEFAULT_DEAD_LETTER_QUEUE)

    monkeypatch.setattr(DefaultDeadLetterQueue, "_bound", bound)


def test_a_queue_that_is_deleted_meanwhile_loses_no_dead_letter(channel, monkeypatch):
    declare(channel, "q", arguments=MISSPELT)
    delete_after_bounding(monkeypatch, channel, 2)

    reject(channel, "a")

    assert kept(channel).payload == "a"


def test_a_dead_letter_that_could_not_be_kept_is_tried_again(channel, monkeypatch):
    declare(channel, "q", arguments=MISSPELT)
    # After the first try and in each of its attempts.
    delete_after_bounding(monkeypatch, channel, DefaultDeadLetterQueue.MAX_ATTEMPTS + 1)

    reject(channel, "a")
    channel.connection.broker.maintenance.run_once()

    assert kept(channel).payload == "a"


def test_the_last_error_is_raised_of_a_queue_that_stays_full(channel, monkeypatch):
    declare(channel, DEFAULT_DEAD_LETTER_QUEUE, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    publish(channel, DEFAULT_DEAD_LETTER_QUEUE, "a")
    monkeypatch.setattr(DefaultDeadLetterQueue, "_bound", lambda self, project: None)
    queue = channel.connection.broker.dead_letters._default_queue
    header = {"queue": "q", "reason": "rejected", "time": 1.0, "count": 1}

    with pytest.raises(QueueIsFull):
        queue.keep(None, {"ttl": None, "body": "b", "dead_letter": header}, "no queue")


def test_there_is_one_log_line_of_each_queue_in_a_minute(channel, caplog):
    caplog.set_level(logging.WARNING)
    declare(channel, "q", "r", arguments=MISSPELT)
    reject(channel, "a", "b", "c")
    reject(channel, "d", queue="r")

    assert [line.partition(" is kept")[0] for line in lines(caplog)] == [
        "A message of queue 'q' (rejected)",
        "A message of queue 'r' (rejected)",
    ]
    assert "exchange '' with key 'daed' leads to no queue" in lines(caplog)[0]
    channel.connection.broker.dead_letters._default_queue._logged = {(None, "q"): (0.0, 2)}
    reject(channel, "e")
    assert "as were 2 since the last such line" in lines(caplog)[-1]
    assert DefaultDeadLetterQueue.LOG_INTERVAL == 60


def test_a_queue_that_is_declared_again_is_bounded_again(connect, monkeypatch):
    monkeypatch.setattr(DefaultDeadLetterQueue, "BOUND_INTERVAL", 0.0)
    channel = connect(dead_letter_max_length=2).channel()
    declare(channel, "q", arguments=MISSPELT)
    reject(channel, "a")
    channel.queue_delete(DEFAULT_DEAD_LETTER_QUEUE)
    declare(connect().channel(), DEFAULT_DEAD_LETTER_QUEUE)

    reject(channel, "b", "c", "d")

    assert take_all(channel, DEFAULT_DEAD_LETTER_QUEUE) == ["c", "d"]


@pytest.mark.parametrize(
    ("arguments", "left"), [({"x-max-length": 1, **ABSENT}, ["c"]), ({"x-message-ttl": 10, **MISSPELT}, [])]
)
def test_what_dies_in_the_default_queue_without_a_consumer_does_not_return_to_it(channel, arguments, left):
    declare(channel, DEFAULT_DEAD_LETTER_QUEUE, arguments=arguments)
    declare(channel, "q", arguments=MISSPELT)
    reject(channel, "a", "b", "c")

    def is_over():
        channel.connection.broker.maintenance.run_once()
        return count(channel, DEFAULT_DEAD_LETTER_QUEUE) == len(left)

    eventually(is_over)
    assert take_all(channel, DEFAULT_DEAD_LETTER_QUEUE) == left
    channel.connection.broker.maintenance.run_once()
    assert count(channel, DEFAULT_DEAD_LETTER_QUEUE) == 0


def test_what_a_consumer_rejects_from_the_default_queue_returns_to_it(channel):
    declare(channel, DEFAULT_DEAD_LETTER_QUEUE, arguments=ABSENT)
    declare(channel, "q", arguments=MISSPELT)
    reject(channel, "a")

    kept_first = eventually(lambda: channel.basic_get(DEFAULT_DEAD_LETTER_QUEUE))
    kept_first.reject()

    assert kept(channel).payload == "a"
