"""The thread that drains events claims inline while the fetcher's thread waits in its store's watch."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import pytest

from kombu_pool.storage import Watch
from kombu_pool.transport.consume.claiming import Claimer
from kombu_pool.transport.consume.consumers import Grant
from kombu_pool.transport.consume.dispatcher import Dispatcher
from kombu_pool.transport.consume.scheduler import Scheduler
from tests.support.limits import LIMIT, best_of, seconds_of
from tests.support.transport.traffic import consume, declare, eventually, publish


class Deaf(Watch):
    """A watch that reports nothing."""

    def __init__(self):
        self._interrupted = threading.Event()

    def wait(self, timeout):
        was = self._interrupted.wait(timeout)
        self._interrupted.clear()
        return was

    def interrupt(self):
        self._interrupted.set()

    def close(self):
        self._interrupted.set()


def asleep(connection):
    """Wait until the only fetcher's thread waits in its store's watch, and return the fetcher."""
    (fetcher,) = connection.default_channel.connection.dispatcher._fetchers.values()
    eventually(lambda: fetcher._watching is not None)
    return fetcher


def test_who_does_not_wait_gets_what_is_there_though_nobody_has_told_of_it_yet(connection, channel, monkeypatch):
    monkeypatch.setattr(Claimer, "watch", lambda *_: Deaf())
    monkeypatch.setattr(Scheduler, "EMPTY_TTL", 60.0)
    declare(channel, "q")
    inbox = consume(channel, "q")
    asleep(connection)
    publish(channel, "q", "there")

    connection.drain_events(timeout=0)

    assert inbox.bodies == ["there"]


def test_who_does_not_wait_gets_what_the_thread_is_about_to_bring(connection, channel, monkeypatch):
    declare(channel, "q")
    inbox = consume(channel, "q")
    fetcher = asleep(connection)
    genuine = Claimer.claim
    claiming = threading.Event()

    def slowly(link, *arguments):
        if threading.current_thread() is not threading.main_thread():
            claiming.set()
            time.sleep(0.1)
        return genuine(link, *arguments)

    monkeypatch.setattr(Claimer, "claim", slowly)
    # Longer than a claim takes on a busy machine.
    monkeypatch.setattr(Dispatcher, "CLAIM_TIMEOUT", LIMIT)
    publish(channel, "q", "there")
    fetcher.wake()
    assert claiming.wait(LIMIT)

    connection.drain_events(timeout=0)

    assert inbox.bodies == ["there"]


def test_a_ready_message_ends_the_wait_for_another_claim(connection, channel):
    declare(channel, "q")
    inbox = consume(channel, "q")
    consume(channel, "q", no_ack=True)
    asleep(connection)
    dispatcher = channel.connection.dispatcher
    (place,) = dispatcher.scheduler.places
    slow = next(one for one in place.consumers if one.no_ack)
    slow.grant = Grant(place, slow, 1, thread=-1)
    publish(channel, "q", "there")

    assert best_of(lambda: seconds_of(lambda: drained(connection, channel)), Dispatcher.CLAIM_TIMEOUT / 2) < (
        Dispatcher.CLAIM_TIMEOUT
    )
    assert inbox.bodies[0] == "there"


def drained(connection, channel):
    """Publish and drain without waiting."""
    publish(channel, "q", "there")
    connection.drain_events(timeout=0)


@pytest.mark.usefixtures("long_waits")
def test_what_comes_as_who_drains_finds_nothing_is_not_left_for_long(connection, channel, elsewhere, monkeypatch):
    declare(channel, "q")
    inbox = consume(channel, "q")
    fetcher = asleep(connection)
    late = elsewhere.channel()
    genuine = Claimer.claim
    found_nothing = []

    def claim(link, *arguments):
        got = genuine(link, *arguments)
        if threading.current_thread() is threading.main_thread() and not found_nothing:
            found_nothing.append(not got)
            publish(late, "q", "late")
            eventually(lambda: fetcher._watching is None)
            # The thread is about to claim, and waits for this claim.
            time.sleep(0.05)
        return got

    monkeypatch.setattr(Claimer, "claim", claim)
    while not found_nothing:
        # The thread may be claiming at this moment.
        with suppress(TimeoutError):
            connection.drain_events(timeout=0)

    assert inbox.wait_for(1)[0].payload == "late"


@pytest.mark.usefixtures("long_waits")
def test_the_thread_takes_over_though_a_claim_goes_on_that_began_before_the_event_loop(
    connection, channel, monkeypatch
):
    monkeypatch.setattr(Claimer, "watch", lambda *_: Deaf())
    declare(channel, "q")
    publish(channel, "q", "a", "b")
    genuine = Claimer.claim
    began = threading.Event()

    def claim(link, consumers, limit, *rest):
        if threading.current_thread() is not threading.main_thread():
            return genuine(link, consumers, limit, *rest) if began.is_set() else 0
        began.set()
        got = genuine(link, consumers, 1, *rest)
        channel.connection.dispatcher.waker()
        (fetcher,) = channel.connection.dispatcher._fetchers.values()
        eventually(lambda: fetcher._watching is None and fetcher._woken._waiters and not fetcher._woken.is_set())
        return got

    monkeypatch.setattr(Claimer, "claim", claim)
    inbox = consume(channel, "q")
    while not began.is_set():
        # The thread may be claiming at this moment.
        with suppress(TimeoutError):
            connection.drain_events(timeout=0)

    assert [message.payload for message in inbox.wait_for(2)] == ["a", "b"]
