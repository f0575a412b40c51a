"""The counters of queues: what all processes did, once each of them has added its sums."""

from __future__ import annotations

import os

import pytest
from amqp.exceptions import MessageNacked

from kombu_pool.storage.counters import Counter
from tests.support.transport.traffic import consume, count, declare, eventually, publish

DLX = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@pytest.fixture
def data(connection):
    return connection.connection.broker.data


@pytest.fixture
def counters(data):
    """Return the counters of a queue, with all that this process has counted."""

    def counters(queue):
        data.send_counters()
        return dict(data.control.counters([(None, queue)]).get((None, queue), {}))

    return counters


def test_a_message_is_counted_when_it_is_published_delivered_and_acknowledged(connection, channel, counters):
    declare(channel, "q")
    publish(channel, "q", "a", "b", "c")
    assert counters("q") == {Counter.PUBLISHED: 3}

    inbox = consume(channel, "q")
    first, *_ = inbox.wait_for(3)
    first.ack()
    eventually(lambda: counters("q").get(Counter.ACKED))

    assert counters("q") == {Counter.PUBLISHED: 3, Counter.DELIVERED: 3, Counter.ACKED: 1}


def test_a_message_that_comes_back_is_counted_again_and_as_redelivered(channel, counters):
    declare(channel, "q")
    publish(channel, "q", "a", "b")
    channel.basic_get("q").requeue()

    for _ in range(2):
        channel.basic_get("q", no_ack=True)
    eventually(lambda: counters("q").get(Counter.ACKED) == 2)

    expected = {Counter.PUBLISHED: 2, Counter.DELIVERED: 3, Counter.REDELIVERED: 1, Counter.ACKED: 2}
    assert counters("q") == expected


def test_batches_and_copies_are_counted_by_queue(channel, counters):
    declare(channel, "q", "r")
    channel.exchange_declare("x", "fanout")
    for queue in ("q", "r"):
        channel.queue_bind(queue, "x", "")

    publish(channel, "", "a", "b", exchange="x")
    publish(channel, "absent", "c")

    assert [counters(queue) for queue in ("q", "r", "absent")] == [{Counter.PUBLISHED: 2}] * 2 + [{}]


def test_a_unique_message_that_is_dropped_is_not_counted(channel, counters):
    declare(channel, "q")

    for _ in range(2):
        publish(channel, "q", "a", headers={"x-deduplication-id": "1", "x-deduplication-scope": "waiting"})

    assert counters("q") == {Counter.PUBLISHED: 1}


def test_dead_letters_are_counted_by_their_reason(channel, counters):
    declare(channel, "dead", "other")
    consume(channel, "other")  # starts the maintenance, which moves what expires
    declare(channel, "q", arguments={**DLX, "x-max-length": 2})
    publish(channel, "q", "a", "b", "c")
    channel.basic_get("q").reject()
    publish(channel, "q", "d", expiration=0.05)
    eventually(lambda: count(channel, "dead") == 3)

    names = {Counter.dead_lettered(reason): 1 for reason in ("maxlen", "rejected", "expired")}
    # A message is counted once it has left its queue.
    eventually(lambda: {name: counters("q").get(name) for name in names} == names)
    assert counters("q")[Counter.REJECTED] == 1
    assert counters("dead") == {Counter.PUBLISHED: 3}


def test_a_message_that_a_full_queue_refuses_is_counted_as_dead_lettered(channel, counters):
    declare(channel, "dead")
    declare(channel, "q", arguments={**DLX, "x-max-length": 1, "x-overflow": "reject-publish-dlx"})
    publish(channel, "q", "a")

    with pytest.raises(MessageNacked):
        publish(channel, "q", "b")

    assert counters("q") == {Counter.PUBLISHED: 1, Counter.dead_lettered("maxlen"): 1}


def test_the_counters_of_a_queue_begin_anew_with_it(channel, counters):
    declare(channel, "q")
    publish(channel, "q", "a", "b")
    channel.queue_delete("q")
    declare(channel, "q")
    assert counters("q") == {}

    publish(channel, "q", "c")

    assert counters("q") == {Counter.PUBLISHED: 1}


def test_counts_are_added_once_a_second_by_themselves(channel, data):
    declare(channel, "q")
    publish(channel, "q", "a")

    eventually(lambda: data.control.counters() == {(None, "q"): {Counter.PUBLISHED: 1}})


def test_a_connection_that_closes_adds_what_is_left(connect, data, channel):
    declare(channel, "q")
    other = connect(ack_delay=0.003)
    publish(other.channel(), "q", "a", "b")

    other.release()

    assert data.control.counters() == {(None, "q"): {Counter.PUBLISHED: 2}}


def test_the_processes_of_a_queue_count_together(shared_url, opened, programs, tmp_path):
    channel = opened(shared_url).channel()
    control = channel.connection.broker.control
    declare(channel, "q")
    worker = programs.start("work", url=shared_url, queue="q", record=str(tmp_path / "seen"), options={})
    worker.line()
    for name in ("p", "r"):
        programs.run("publish", url=shared_url, queue="q", name=name, number=100)
    eventually(lambda: len((tmp_path / "seen").read_text().splitlines()) == 200)

    worker.tell()
    worker.finish()

    counted = {Counter.PUBLISHED: 200, Counter.DELIVERED: 200, Counter.ACKED: 200}
    assert control.counters() == {(None, "q"): counted}


def test_a_killed_producer_has_added_what_it_published_before(shared_url, opened, programs, tmp_path):
    channel = opened(shared_url).channel()
    control, record = channel.connection.broker.control, tmp_path / "told"
    declare(channel, "q")
    producer = programs.start("produce", url=shared_url, queue="q", name="p", size=1, record=str(record))

    def published():
        return control.counters().get((None, "q"), {}).get(Counter.PUBLISHED, 0)

    eventually(lambda: record.exists() and record.stat().st_size)
    told = len(record.read_text().splitlines())
    eventually(lambda: published() >= told)
    producer.kill()

    assert told <= published() <= count(channel, "q")


def test_the_messages_of_a_killed_consumer_are_counted_as_lost(shared_url, opened, programs):
    options = {"claim_ttl": 600}
    channel = opened(shared_url, **options).channel()
    data = channel.connection.broker.data
    declare(channel, "q", "other")
    publish(channel, "q", "a", "b")
    holder = programs.start("hold", url=shared_url, queue="q", number=2, options=options)
    assert [holder.line(), holder.line()] == ["a", "b"]
    consume(channel, "other")
    inbox = consume(channel, "q", ack=True)

    holder.kill()
    inbox.wait_for(2)

    def counted():
        data.send_counters()
        found = data.control.counters()[None, "q"]
        return found.get(Counter.LOST_CLAIMS), found.get(Counter.REDELIVERED)

    # The claims are counted once the request that ended them has returned, when the messages may be here.
    eventually(lambda: counted() == (2, 2))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_process_does_not_add_what_its_parent_counted(connection, channel, data, counters):
    declare(channel, "q")
    publish(channel, "q", "a")
    if (child := os.fork()) == 0:
        data.catalog.counters.send()
        os._exit(0)
    os.waitpid(child, 0)

    assert counters("q") == {Counter.PUBLISHED: 1}
