"""What a buffer holds is posted, whatever happens to its channel, its context and its thread meanwhile."""

from __future__ import annotations

import contextvars
import signal
import sys
import threading

import pytest

from kombu_pool.transport import gather
from kombu_pool.transport.publish.buffer import PublishBuffer
from tests.support.limits import LIMIT
from tests.support.transport.traffic import count, declare, eventually, take_all


class Interrupting(bytearray):
    """A body during whose publish a signal arrives."""

    def __bytes__(self):
        signal.raise_signal(signal.SIGUSR1)
        return b"interrupted"


@pytest.fixture
def there(elsewhere):
    """A channel of another connection, with the queue q."""
    channel = elsewhere.channel()
    declare(channel, "q")
    return channel


def test_a_timer_flushes_over_the_channel_of_the_last_message(connection, there, monkeypatch):
    monkeypatch.setattr(PublishBuffer, "MAX_AGE", 1.0)
    producer = connection.Producer()

    with gather(producer, explicit=False):
        for body in "ab":
            producer.publish(body, routing_key="q")
        connection.collect()
        producer.revive(connection.default_channel)
        producer.publish("c", routing_key="q")
        eventually(lambda: count(there, "q") == 3)

    assert take_all(there, "q") == ["a", "b", "c"]


def test_a_copy_of_the_context_publishes_at_once(connection, there):
    producer = connection.Producer()
    over = threading.Event()

    def publish(body, after=None):
        assert after is None or after.wait(LIMIT)
        producer.publish(body, routing_key="q")

    with gather(producer):
        context = contextvars.copy_context()
        other = threading.Thread(target=context.copy().run, args=(publish, "other"))
        late = threading.Thread(target=context.copy().run, args=(publish, "late", over))
        other.start()
        late.start()
        other.join(LIMIT)
        assert count(there, "q") == 1
        publish("own")
    over.set()
    late.join(LIMIT)
    context.run(publish, "later")

    assert take_all(there, "q") == ["other", "own", "late", "later"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_a_signal_handler_may_publish_while_a_message_is_added(connection, there):
    producer = connection.Producer()
    before = signal.signal(signal.SIGUSR1, lambda *_: producer.publish("signal", routing_key="q"))
    try:
        with gather(producer):
            message = producer.channel.prepare_message(
                Interrupting(), content_type="text/plain", content_encoding="utf-8"
            )
            producer.channel.basic_publish(message, routing_key="q")
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert sorted(str(body) for body in take_all(there, "q")) == ["interrupted", "signal"]


def test_headers_that_change_after_a_publish_are_posted_as_they_were(connection, there):
    producer = connection.Producer()
    headers = {"step": 1}

    with gather(producer):
        producer.publish("a", routing_key="q", headers=headers)
        headers["step"] = 2
        producer.publish("b", routing_key="q", headers=headers)

    steps = [there.basic_get("q", no_ack=True).headers["step"] for _ in "ab"]
    assert steps == [1, 2]
