"""Publishes whose answer got lost: they may be stored, and Kombu tries them again."""

from __future__ import annotations

import os

import pytest
from amqp.exceptions import MessageNacked
from kombu import Producer
from kombu.utils.functional import retry_over_time

from kombu_pool import drivers, errors
from kombu_pool.pooling import open_pools
from kombu_pool.transport import amqp_errors, gather
from kombu_pool.transport.publish import unconfirmed
from tests.support.transport.traffic import count, declare, take_all

#: Kombu's retry policy of these tests.
RETRY = {"max_retries": 5, "interval_start": 0.0, "interval_step": 0.0}


class Answers:
    """Executes the calls of stores, and loses the answers to posts, or refuses them."""

    def __init__(self):
        self._lost = {}
        self._refused = {}

    def lose(self, queue, times=1, meanwhile=lambda: None):
        """Lose the next answers of a queue's store, and call ``then`` before the error is raised."""
        self._lost[queue] = times, meanwhile

    def refuse(self, queue, times):
        """Refuse the next posts to a queue, as a full store does."""
        self._refused[queue] = times

    def open(self, uri, **options):
        driver = drivers.open_data(uri, **options)
        post = driver.message_controller.post

        def lossy(queue, *arguments, **named):
            if self._refused.get(queue):
                self._refused[queue] -= 1
                raise errors.StoreFull("it is full")
            answer = post(queue, *arguments, **named)
            times, meanwhile = self._lost.pop(queue, (0, None))
            if not times:
                return answer
            meanwhile()
            if times > 1:
                self._lost[queue] = times - 1, meanwhile
            raise errors.ConnectionError("its answer got lost")

        driver.message_controller.post = lossy
        return driver


@pytest.fixture
def answers(monkeypatch):
    answers = Answers()
    monkeypatch.setattr(open_pools, "open_data", answers.open)
    return answers


@pytest.fixture
def producer(answers, connection):
    """A producer; the queues q, r and s exist and are bound to amq.fanout."""
    channel = connection.channel()
    declare(channel, "q", "r", "s")
    for queue in ("q", "r", "s"):
        channel.queue_bind(queue, "amq.fanout")
    return connection.Producer()


@pytest.fixture
def consumer(producer, elsewhere):
    """The channel of another connection."""
    return elsewhere.channel()


def fail_to_publish(producer, *arguments, **options):
    with pytest.raises(errors.ConnectionError):
        producer.publish(*arguments, **options)


def test_what_is_published_again_is_stored_once(producer, consumer, answers):
    answers.lose("q")

    producer.publish("a", routing_key="q", retry=True, retry_policy=RETRY)

    assert take_all(consumer, "q") == ["a"]


def test_properties_that_are_ignored_do_not_hide_that_it_is_published_again(producer, consumer, answers):
    answers.lose("q")

    producer.publish("a", routing_key="q", retry=True, retry_policy=RETRY, unknown=object())

    assert take_all(consumer, "q") == ["a"]


def test_what_was_consumed_before_it_is_published_again_is_not_stored_again(producer, consumer, answers):
    consumed = []
    answers.lose("q", 3, lambda: consumed.extend(take_all(consumer, "q")))

    producer.publish("a", routing_key="q", headers={"n": 1}, priority=3, retry=True, retry_policy=RETRY)

    assert consumed == ["a"]
    assert count(consumer, "q") == 0


def test_queues_that_have_it_do_not_get_it_again_and_the_others_do(producer, consumer, answers):
    consumed = []
    answers.lose("r", 2, lambda: consumed.extend(take_all(consumer, "q") + take_all(consumer, "r")))

    producer.publish("a", exchange="amq.fanout", retry=True, retry_policy=RETRY)

    assert consumed == ["a", "a"]
    assert [take_all(consumer, queue) for queue in ("q", "r", "s")] == [[], [], ["a"]]


@pytest.mark.parametrize("full", ["q", "r", "s"])
def test_queues_that_have_it_do_not_get_it_again_while_another_store_is_full(producer, consumer, answers, full):
    answers.refuse(full, 3)

    producer.publish("a", exchange="amq.fanout", retry=True, retry_policy=RETRY)

    assert [take_all(consumer, queue) for queue in ("q", "r", "s")] == [["a"]] * 3


def publish_gathered(producer, bodies, **options):
    with gather(producer, RETRY):
        for body in bodies:
            producer.publish(body, **options)


@pytest.mark.parametrize("full", ["q", "r", "s"])
def test_a_full_store_loses_and_doubles_nothing_of_what_is_gathered(producer, consumer, answers, full):
    answers.lose("q")

    answers.refuse(full, 2)
    publish_gathered(producer, "ab", exchange="amq.fanout")

    assert [take_all(consumer, queue) for queue in ("q", "r", "s")] == [["a", "b"]] * 3


def test_what_is_gathered_behind_a_refusal_is_stored_once(producer, consumer, answers, monkeypatch):
    monkeypatch.setattr(type(producer.channel), "post", refuse_second(type(producer.channel).post))
    answers.lose("q")

    with pytest.raises(MessageNacked):
        publish_gathered(producer, "abc", routing_key="q")

    assert take_all(consumer, "q") == ["a", "c"]


def refuse_second(post):
    """Post as a queue does that is full when the second message comes."""

    def refusing(channel, queue, messages, *arguments, **options):
        if any(message["body"]["body"] == b"b" for message in messages):
            raise errors.QueueIsFull(queue, None) if len(messages) > 1 else amqp_errors.nacked(queue)
        post(channel, queue, messages, *arguments, **options)

    return refusing


def test_celerys_own_retry_is_known_by_its_headers_and_its_id(producer, consumer, answers):
    consumed = []
    answers.lose("q", 2, lambda: consumed.extend(take_all(consumer, "q")))
    options = {"routing_key": "q", "headers": {"id": "7"}, "correlation_id": "7"}

    retry_over_time(
        producer.publish, errors.ConnectionError, ("a",), options, max_retries=5, interval_start=0, interval_step=0
    )

    assert consumed == ["a"]
    assert count(consumer, "q") == 0


def test_a_message_that_looks_the_same_is_another_one(producer, consumer, answers):
    answers.lose("q")
    headers = {"kept": "by the program"}
    fail_to_publish(producer, "a", routing_key="q", headers=headers)

    producer.publish("a", routing_key="q", headers=headers)

    assert take_all(consumer, "q") == ["a", "a"]


def test_so_is_one_that_somebody_else_publishes_meanwhile(producer, consumer, answers, connection):
    other = Producer(connection.channel())
    answers.lose("q", 1, lambda: other.publish("a", routing_key="q"))

    producer.publish("a", routing_key="q", retry=True, retry_policy=RETRY)

    assert take_all(consumer, "q") == ["a", "a"]


def test_a_message_that_is_published_twice_without_a_failure_is_stored_twice(producer, consumer):
    channel = producer.channel
    message = channel.prepare_message(b"a")

    for _ in range(2):
        channel.basic_publish(message, routing_key="q")

    assert count(consumer, "q") == 2


def test_it_is_another_one_once_it_got_through(producer, consumer, answers):
    channel = producer.channel
    message = channel.prepare_message(b"a")
    answers.lose("q")
    with pytest.raises(errors.ConnectionError):
        channel.basic_publish(message, routing_key="q")

    for _ in range(2):
        channel.basic_publish(message, routing_key="q")

    assert count(consumer, "q") == 2


@pytest.mark.parametrize("change", [{"routing_key": "r"}, {"exchange": "amq.fanout", "routing_key": "q"}])
def test_it_is_another_one_when_it_goes_elsewhere(producer, consumer, answers, change):
    channel = producer.channel
    message = channel.prepare_message(b"a")
    answers.lose("q")
    with pytest.raises(errors.ConnectionError):
        channel.basic_publish(message, routing_key="q")

    channel.basic_publish(message, **change)

    assert count(consumer, "q") + count(consumer, "r") in (2, 3)
    assert count(consumer, "r") == 1


def test_it_is_another_one_in_another_store(producer, consumer, answers, opened, tmp_path):
    there = opened(f"pool+memory://{tmp_path.name}").channel()
    declare(there, "q")
    channel = producer.channel
    message = channel.prepare_message(b"a")
    answers.lose("q")
    with pytest.raises(errors.ConnectionError):
        channel.basic_publish(message, routing_key="q")

    there.basic_publish(message, routing_key="q")

    assert [count(consumer, "q"), count(there, "q")] == [1, 1]


def test_it_is_another_one_when_the_stores_may_have_forgotten_it(producer, consumer, answers, monkeypatch):
    channel = producer.channel
    message = channel.prepare_message(b"a")
    answers.lose("q")
    with pytest.raises(errors.ConnectionError):
        channel.basic_publish(message, routing_key="q")
    monkeypatch.setattr(unconfirmed, "WINDOW", 0.0)

    channel.basic_publish(message, routing_key="q")

    assert count(consumer, "q") == 2


def test_what_was_refused_is_in_no_doubt(producer, consumer):
    message = producer.channel.prepare_message(b"a", properties={"expiration": "never"})
    with pytest.raises(errors.InvalidMessage):
        producer.channel.basic_publish(message, routing_key="q")
    message["properties"]["expiration"] = "60000"

    for _ in range(2):
        producer.channel.basic_publish(message, routing_key="q")

    assert count(consumer, "q") == 2


def test_no_more_of_what_failed_is_remembered_than_is_said(opened, answers, monkeypatch):
    channel = opened("pool+memory://unconfirmed").channel()
    declare(channel, "q")
    answers.lose("q", 50)
    monkeypatch.setattr(unconfirmed, "MAX_REMEMBERED", 10)

    for number in range(50):
        with pytest.raises(errors.ConnectionError):
            channel.basic_publish(channel.prepare_message(str(number)), routing_key="q")

    assert len(unconfirmed.remembered) <= 2 * 10


def test_no_child_posts_under_its_parents_name():
    unconfirmed.release_sequence(unconfirmed.acquire_sequence())
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, unconfirmed.acquire_sequence().next_key().producer)
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(reading, 100) != unconfirmed.acquire_sequence().next_key().producer
    os.close(reading)
    os.close(writing)
