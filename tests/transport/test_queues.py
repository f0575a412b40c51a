"""Queues: declared, counted, purged, deleted, and owned."""

from __future__ import annotations

import time

import pytest
from amqp.exceptions import NotFound, PreconditionFailed, ResourceLocked
from kombu import Queue

from tests.support.transport.traffic import (
    consume,
    consumers,
    count,
    declare,
    eventually,
    exists,
    publish,
    take_all,
    task_with_eta,
)


def test_declaring_tells_the_name_and_the_counts(channel):
    declare(channel, "q")
    publish(channel, "q", "a", "b")
    consume(channel, "q").wait_for(2)
    publish(channel, "q", "c")
    channel.basic_cancel(next(iter(channel._consumers)))

    assert tuple(channel.queue_declare("q")) == ("q", 1, 0)


def test_a_queue_declared_twice_keeps_its_messages(channel):
    declare(channel, "q")
    publish(channel, "q", "a")

    declare(channel, "q")

    assert count(channel, "q") == 1


def test_looking_for_a_queue_that_is_not_there_says_404(channel):
    with pytest.raises(NotFound, match="no queue 'absent'") as caught:
        channel.queue_declare("absent", passive=True)

    assert caught.value.code == 404


def test_an_empty_queue_is_found_too(channel):
    declare(channel, "q")

    assert tuple(channel.queue_declare("q", passive=True)) == ("q", 0, 0)


def test_a_queue_is_known_to_every_connection(channel, elsewhere):
    declare(channel, "q")

    assert exists(elsewhere.channel(), "q")


def test_messages_and_consumers_are_counted_across_connections(channel, elsewhere):
    theirs = elsewhere.channel()
    declare(channel, "q")
    publish(theirs, "q", "a", "b", "c")
    theirs.basic_qos(prefetch_count=1)
    consume(theirs, "q").wait_for(1)

    assert tuple(channel.queue_declare("q", passive=True)) == ("q", 2, 1)


def test_the_size_that_celery_and_flower_ask_for_is_the_count(channel):
    declare(channel, "q")
    publish(channel, "q", "a", "b")

    assert channel._size("q") == 2


def test_a_queue_without_a_name_gets_one_of_its_own(channel):
    one, other = channel.queue_declare("").queue, channel.queue_declare(None).queue

    assert one.startswith("amq.gen-")
    assert one != other
    publish(channel, one, "a")
    assert count(channel, one) == 1


def test_kombus_queue_learns_the_name_that_it_was_given(channel):
    queue = Queue("", exclusive=True)(channel)

    queue.declare()

    assert exists(channel, queue.name)


def test_names_may_hold_any_character(channel):
    name = "a b/ü.*#%:'\"\\"
    declare(channel, name)

    publish(channel, name, "a")

    assert take_all(channel, name) == ["a"]


def test_purging_deletes_what_is_free_and_tells_how_much_that_was(channel):
    declare(channel, "q")
    publish(channel, "q", "a", "b", "c")
    held = channel.basic_get("q")

    assert channel.queue_purge("q") == 2

    held.requeue()
    assert take_all(channel, "q") == ["a"]


def test_purging_a_queue_that_is_not_there_says_so(channel):
    with pytest.raises(NotFound, match="no queue 'absent'"):
        channel.queue_purge("absent")


def test_a_queue_is_deleted_from_any_connection_with_what_is_in_it(channel, elsewhere):
    declare(channel, "q")
    publish(channel, "q", "a", "b")

    assert elsewhere.channel().queue_delete("q") == 2

    assert not exists(channel, "q")
    declare(channel, "q")
    assert count(channel, "q") == 0


def test_deleting_a_queue_that_is_not_there_does_nothing(channel):
    assert channel.queue_delete("absent") == 0


def test_a_consumer_that_comes_during_a_deletion_if_unused_keeps_the_queue(channel, elsewhere, monkeypatch):
    declare(channel, "q")
    theirs = elsewhere.channel()
    count_first = channel._queues.counts_if_up

    def then_consumed(name):
        counted = count_first(name)
        theirs.basic_consume(name)
        return counted

    monkeypatch.setattr(channel._queues, "counts_if_up", then_consumed)
    with pytest.raises(PreconditionFailed):
        channel.queue_delete("q", if_unused=True)

    assert exists(theirs, "q")


def test_a_queue_that_another_connection_consumes_from_is_not_deleted_if_unused(channel, elsewhere):
    declare(channel, "q")
    consume(elsewhere.channel(), "q")

    with pytest.raises(PreconditionFailed, match="queue 'q' in use"):
        channel.queue_delete("q", if_unused=True)

    elsewhere.release()
    channel.queue_delete("q", if_unused=True)
    assert not exists(channel, "q")


def test_a_queue_that_holds_messages_is_not_deleted_if_empty(channel):
    declare(channel, "q")
    publish(channel, "q", "a")
    with pytest.raises(PreconditionFailed, match="queue 'q' not empty"):
        channel.queue_delete("q", if_empty=True)

    channel.queue_purge("q")
    channel.queue_delete("q", if_empty=True)

    assert not exists(channel, "q")


def test_a_queue_whose_messages_are_all_held_is_not_deleted_if_empty(channel):
    declare(channel, "q")
    publish(channel, "q", "a")
    channel.basic_get("q")

    with pytest.raises(PreconditionFailed, match="not empty"):
        channel.queue_delete("q", if_empty=True)


def test_a_queue_whose_messages_are_all_delayed_is_not_deleted_if_empty(channel):
    declare(channel, "q")
    publish(channel, "q", "a", headers=task_with_eta("2999-01-01T00:00:00+00:00"))

    with pytest.raises(PreconditionFailed, match="not empty"):
        channel.queue_delete("q", if_empty=True)


@pytest.mark.parametrize(
    "otherwise",
    [{"durable": False}, {"auto_delete": True}, {"arguments": {"x-expires": 60000}}, {"exclusive": True}],
)
def test_declaring_a_queue_otherwise_is_refused(channel, otherwise):
    declare(channel, "q")

    with pytest.raises(PreconditionFailed, match="inequivalent") as caught:
        channel.queue_declare("q", **otherwise)

    assert caught.value.code == 406


def test_the_order_of_the_arguments_makes_no_difference(channel):
    declare(channel, "q", arguments={"x-expires": 60000, "x-max-priority": 5})

    declare(channel, "q", arguments={"x-max-priority": 5, "x-expires": 60000})


def test_an_argument_that_is_no_number_of_milliseconds_is_refused(channel):
    with pytest.raises(PreconditionFailed, match="x-expires of queue 'q' must be a number of milliseconds"):
        declare(channel, "q", arguments={"x-expires": "soon"})

    assert not exists(channel, "q")


@pytest.mark.parametrize(
    ("argument", "value", "why"),
    [
        ("x-expires", 0, "must be more than 0"),
        ("x-message-ttl", float("nan"), "must be a number of milliseconds"),
        ("x-message-ttl", float("inf"), "must be a number of milliseconds"),
        ("x-single-active-consumer", "yes", "must be true or false"),
    ],
)
def test_an_argument_whose_value_has_no_meaning_is_refused(channel, argument, value, why):
    with pytest.raises(PreconditionFailed, match=f"{argument} of queue 'q' {why}"):
        declare(channel, "q", arguments={argument: value})

    assert not exists(channel, "q")


def test_an_argument_without_effect_is_logged_once(channel, caplog):
    declare(channel, "q", "r", arguments={"x-something": 1})

    assert caplog.text.count("x-something") == 1


def test_an_exclusive_queue_is_its_connections_alone(channel, elsewhere):
    declare(channel, "q", exclusive=True)
    theirs = elsewhere.channel()

    for refused in (
        lambda: theirs.queue_declare("q", exclusive=True),
        lambda: theirs.queue_declare("q", passive=True),
        lambda: theirs.basic_consume("q", callback=print),
        lambda: theirs.basic_get("q"),
        lambda: theirs.queue_purge("q"),
        lambda: theirs.queue_delete("q"),
        lambda: theirs.queue_bind("q", "amq.fanout"),
    ):
        with pytest.raises(ResourceLocked) as caught:
            refused()
        assert caught.value.code == 405

    publish(theirs, "q", "a")
    assert take_all(channel, "q") == ["a"]


def test_all_channels_of_a_connection_may_use_its_exclusive_queues(channel, connection):
    declare(channel, "q", exclusive=True)

    assert exists(connection.channel(), "q")


def test_an_exclusive_queue_goes_with_its_connection(channel, connection, elsewhere):
    declare(channel, "q", exclusive=True)
    theirs = elsewhere.channel()

    connection.release()

    assert not exists(theirs, "q")


def test_an_auto_delete_queue_goes_with_its_last_consumer(channel, elsewhere):
    declare(channel, "q", auto_delete=True)
    theirs = elsewhere.channel()
    consume(channel, "q", consumer_tag="one")
    consume(theirs, "q", consumer_tag="other")

    channel.basic_cancel("one")
    assert exists(channel, "q")
    theirs.basic_cancel("other")

    assert not exists(channel, "q")


def test_an_auto_delete_queue_waits_for_its_first_consumer(connect):
    with connect() as connection:
        declare(connection.channel(), "q", auto_delete=True)

    assert exists(connect().channel(), "q")


def test_closing_a_connection_cancels_its_consumers_of_auto_delete_queues(channel, connection, elsewhere):
    declare(channel, "q", auto_delete=True)
    consume(channel, "q")
    theirs = elsewhere.channel()

    connection.release()

    assert not exists(theirs, "q")


@pytest.mark.usefixtures("frequent_maintenance")
def test_a_queue_that_is_unused_for_its_lifetime_goes(channel):
    declare(channel, "q", arguments={"x-expires": 300})
    declare(channel, "other")
    consume(channel, "other")

    eventually(lambda: not exists(channel, "q"))


@pytest.mark.usefixtures("frequent_maintenance")
def test_a_queue_that_is_consumed_from_does_not_expire(channel, connection):
    declare(channel, "q", arguments={"x-expires": 300})
    consume(channel, "q")
    declare(channel, "shorter", arguments={"x-expires": 300})

    eventually(lambda: not exists(channel, "shorter"))

    assert exists(channel, "q")


def test_messages_expire_after_the_ttl_of_their_queue(channel):
    declare(channel, "q", arguments={"x-message-ttl": 300})
    publish(channel, "q", "a")
    assert count(channel, "q") == 1

    eventually(lambda: count(channel, "q") == 0)

    assert channel.basic_get("q") is None


def test_the_shorter_of_the_queues_and_the_messages_ttl_counts(channel):
    declare(channel, "q", arguments={"x-message-ttl": 60000})
    publish(channel, "q", "short", expiration=0.3)
    publish(channel, "q", "long", expiration=3600)

    eventually(lambda: count(channel, "q") == 1)

    assert take_all(channel, "q") == ["long"]


def test_kombus_words_for_queue_arguments_are_understood(channel):
    queue = Queue("q", expires=60, message_ttl=0.3, max_priority=9)(channel)
    queue.declare()

    publish(channel, "q", "a")

    eventually(lambda: count(channel, "q") == 0)


@pytest.mark.usefixtures("frequent_maintenance")
@pytest.mark.parametrize(
    "declaration",
    [{"exclusive": True}, {"auto_delete": True}, {"arguments": {"x-expires": 200}}],
    ids=["exclusive", "auto_delete", "x-expires"],
)
def test_the_queue_of_a_killed_process_goes_by_itself(shared_url, opened, programs, declaration):
    owner = programs.start("own", url=shared_url, queue="q", options={"claim_ttl": 2.0}, **declaration)
    owner.line()
    channel = opened(shared_url).channel()
    declare(channel, "other")
    consume(channel, "other")

    owner.kill()

    eventually(lambda: not exists(channel, "q"))


def test_consumers_of_a_killed_process_are_counted_no_more(shared_url, opened, programs):
    consumer = programs.start("own", url=shared_url, queue="q", options={"claim_ttl": 2.0})
    consumer.line()
    channel = opened(shared_url).channel()
    assert consumers(channel, "q") == 1

    consumer.kill()

    eventually(lambda: consumers(channel, "q") == 0)


def test_a_queue_that_is_to_stay_is_not_deleted_for_another_declaration(channel):
    declare(channel, "q")
    broker = channel.connection.broker
    for other in ({"auto_delete": True}, {"arguments": {"x-expires": 1}}, {"exclusive": True}):
        with pytest.raises(PreconditionFailed):
            channel.queue_declare("q", **other)
    time.sleep(0.01)

    broker.maintenance.run_once()

    assert exists(channel, "q")
    assert broker.control.consumers_controller.expired_queues() == []
