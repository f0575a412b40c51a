"""Faults that users of Kombu's other transports report, and that must not occur here; each test is named after one."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta, timezone

import pytest
from kombu import Connection, Exchange, Queue
from kombu.pidbox import Mailbox

from kombu_pool import drivers
from tests.support.transport.traffic import (
    Inbox,
    consume,
    count,
    declare,
    eventually,
    exists,
    publish,
    take_all,
    task_with_eta,
)


def in_(seconds):
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()


def test_an_eta_beyond_the_visibility_timeout_is_delivered_once(connect):
    """A task that waited for longer than the visibility timeout was delivered again with each timeout."""
    channels = [connect(claim_ttl=0.5, ack_delay=delay).channel() for delay in (0.002, 0.003)]
    declare(channels[0], "q")
    inboxes = [consume(channel, "q", ack=True) for channel in channels]

    publish(channels[0], "q", "a", headers=task_with_eta(in_(1.2)))
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        for inbox in inboxes:
            try:
                inbox._connection.drain_events(timeout=0.05)
            except TimeoutError:
                continue

    assert [message.payload for inbox in inboxes for message in inbox.messages] == ["a"]


def test_an_eta_that_a_worker_holds_for_longer_than_its_claim_lives_is_not_delivered_again(connect, elsewhere):
    """Every worker got the task that waited in another worker's memory."""
    ours = connect(claim_ttl=2.0, delay_eta=False)
    channel = ours.channel()
    declare(channel, "q")
    publish(channel, "q", "a", headers=task_with_eta(in_(60)))
    consume(channel, "q").wait_for(1)
    theirs = consume(elsewhere.channel(), "q")

    with pytest.raises(TimeoutError):
        elsewhere.drain_events(timeout=5.0)

    assert theirs.messages == []


def test_many_etas_do_not_fill_a_workers_memory(channel):
    """Workers pulled every task with an eta and raised their prefetch until it overflowed."""
    declare(channel, "q")
    for number in range(50):
        publish(channel, "q", number, headers=task_with_eta(in_(3600)))
    inbox = consume(channel, "q")

    inbox.expect_no_more()

    assert channel.qos.outstanding() == 0


def test_a_visibility_timeout_is_not_waited_for_after_a_clean_stop(connect, elsewhere):
    """The messages of a stopped worker stayed invisible for an hour."""
    connection = connect(claim_ttl=3600)
    channel = connection.channel()
    declare(channel, "q")
    publish(channel, "q", "a", "b", "c")
    consume(channel, "q").wait_for(2)

    connection.release()

    assert take_all(elsewhere.channel(), "q") == ["a", "b", "c"]


def test_requeueing_does_not_copy_a_message_to_every_queue_that_its_key_matches(channel):
    """Restoring a message published it again through its exchange."""
    for name, key in (("q", "a.*"), ("r", "#"), ("s", "*.b")):
        Queue(name, Exchange("e", type="topic"), key)(channel).declare()
    publish(channel, "a.b", "x", exchange="e")

    channel.basic_get("q").requeue()
    message = channel.basic_get("q")
    channel.basic_recover()
    del message

    assert [count(channel, name) for name in ("q", "r", "s")] == [1, 1, 1]


def test_a_fanout_message_is_not_lost_while_its_consumer_is_away(channel, connection, connect):
    """Broadcasts over PUB/SUB were dropped without a listener, and when too many came at once."""
    Queue("q", Exchange("e", type="fanout"))(channel).declare()
    inbox = consume(channel, "q", ack=True, consumer_tag="tag")
    publish(channel, "", 0, exchange="e")
    inbox.wait_for(1)
    connection.release()

    theirs = connect().channel()
    for number in range(1, 30):
        publish(theirs, "", number, exchange="e")

    assert [message.payload for message in consume(theirs, "q").wait_for(29)] == list(range(1, 30))


def test_a_binding_does_not_vanish(channel, elsewhere):
    """After the eviction of a key of bindings, every published message was dropped."""
    Queue("q", Exchange("e"), "k")(channel).declare()
    elsewhere.channel()

    channel.queue_purge("q")
    publish(elsewhere.channel(), "k", "a", exchange="e")

    assert take_all(channel, "q") == ["a"]


def test_no_reply_queue_is_left_behind_by_one_who_never_comes_back(connect, elsewhere):
    """Reply queues without a consumer grew to gigabytes."""
    connection = connect(claim_ttl=0.5)
    mailbox = Mailbox("test", type="fanout", accept=["json"])(connection)
    assert mailbox.multi_call("anything", timeout=0.1) == []
    theirs = elsewhere.channel()
    declare(theirs, "other")
    consume(theirs, "other")

    name = mailbox.reply_queue.name
    connection.release()

    eventually(lambda: not exists(theirs, name))


@pytest.mark.usefixtures("frequent_maintenance")
def test_event_queues_of_dead_consumers_go(connect, elsewhere):
    """A killed monitor left its queue, which filled up for ever."""
    connection = connect(claim_ttl=0.5)
    channel = connection.channel()
    channel.queue_declare("celeryev.x", auto_delete=True, arguments={"x-expires": 300, "x-message-ttl": 500})
    channel.queue_bind("celeryev.x", "amq.topic", "worker.#")
    theirs = elsewhere.channel()
    declare(theirs, "other")
    consume(theirs, "other")

    connection.collect()

    eventually(lambda: not exists(theirs, "celeryev.x"))


def test_zero_is_the_lowest_priority(channel):
    """With one transport priority 0 was first, with another last."""
    declare(channel, "q")
    for priority in (0, 9, 5):
        publish(channel, "q", priority, priority=priority)

    assert take_all(channel, "q") == [9, 5, 0]


def test_zero_is_the_highest_priority_where_that_is_set(connect):
    """Producers with priorities for ``redis://`` keep them; a message without one has 0."""
    channel = connect(priority_order="redis").channel()
    declare(channel, "q")
    publish(channel, "q", "none")
    for priority in (5, 9, 255, 0):
        publish(channel, "q", priority, priority=priority)

    assert take_all(channel, "q") == ["none", 0, 5, 9, 255]


def test_priorities_above_9_are_not_collapsed(channel):
    """All priorities were clamped to ten, or to four."""
    declare(channel, "q")
    for priority in (10, 200, 11):
        publish(channel, "q", priority, priority=priority)

    assert take_all(channel, "q") == [200, 11, 10]


def test_a_second_consumer_of_a_queue_does_not_steal_the_first_ones_messages(connection):
    """A connection had one callback a queue; cancelling the second consumer ended both."""
    channel = connection.channel()
    declare(channel, "q")
    first = consume(channel, "q", ack=True)
    consume(connection.channel(), "q", consumer_tag="thief")
    connection.transport.channels[-1].basic_cancel("thief")

    publish(channel, "q", "a")

    assert first.wait_for(1)[0].payload == "a"


def test_a_passive_declaration_finds_an_empty_queue(channel, elsewhere):
    """An empty queue did not exist."""
    declare(channel, "q")

    assert elsewhere.channel().queue_declare("q", passive=True).message_count == 0


def test_a_queue_is_deleted_by_a_channel_that_never_declared_it(channel, elsewhere):
    """Nothing was deleted, because the deleting process had no binding in its memory."""
    Queue("q", Exchange("e"), "k")(channel).declare()

    elsewhere.channel().queue_delete("q")

    assert not exists(channel, "q")


def test_deleting_an_exchange_deletes_no_queue(channel):
    """Empty queues were deleted with the exchange that they were bound to."""
    Queue("q", Exchange("e"), "k")(channel).declare()

    channel.exchange_delete("e")

    assert exists(channel, "q")


def test_a_message_that_celery_did_not_write_does_not_kill_the_consumer(channel, url):
    """A foreign record raised a fatal decoding error, and was delivered again for ever."""
    declare(channel, "q")
    library = drivers.open_data(url.removeprefix("pool+"))
    library.message_controller.post("q", [{"ttl": None, "body": {"not": ["kombu's"]}}], None)
    library.close()
    publish(channel, "q", "ours")

    inbox = consume(channel, "q", ack=True)
    inbox.wait_for(2)

    assert inbox.bodies == [{"not": ["kombu's"]}, "ours"]
    inbox.expect_no_more()


def test_a_consumer_reconnects_and_is_no_zombie(connection):
    """After a restart of the broker, workers were connected and consumed nothing."""
    declare(connection.channel(), "q")
    inbox = Inbox(connection, ack=True)
    for number in range(3):
        channel = connection.channel()
        channel.basic_consume("q", callback=inbox)
        publish(channel, "q", number)
        inbox.wait_for(number + 1)
        connection.collect()
        connection.ensure_connection(max_retries=1)

    assert inbox.bodies == [0, 1, 2]


def test_opening_and_closing_connections_leaves_no_threads(url):
    """Connections accumulated until the store refused more."""

    def cycle():
        with Connection(url) as connection:
            channel = connection.channel()
            declare(channel, "q")
            inbox = consume(channel, "q", ack=True)
            publish(channel, "q", "a")
            inbox.wait_for(1)

    cycle()
    before = threading.active_count()
    for _ in range(5):
        cycle()

    eventually(lambda: threading.active_count() <= before)


def test_settled_messages_leave_nothing_behind(channel, connection, url):
    """Rows of acknowledged messages were hidden, and kept for ever."""
    declare(channel, "q")
    publish(channel, "q", *range(20))
    inbox = consume(channel, "q", ack=True)
    inbox.wait_for(20)
    connection.release()

    store = drivers.open_data(url.removeprefix("pool+"))
    total = store.queue_controller.stats("q")["messages"]["total"]
    store.close()

    assert total == 0
