"""A watch reports a message at once, whatever it reported before."""

from __future__ import annotations

import itertools
import random
import threading
import time
from contextlib import closing

import pytest

from tests.support.limits import LIMIT
from tests.support.transport.traffic import declare, publish, take_all

#: Shorter than the polling period of a watch, in seconds.
SOON = 2.0
#: Of some delays, this many may be longer: the machine may be busy.
SLOW = 2
NAMES = ("q1", "q2", "q3")
names = itertools.cycle(NAMES)


@pytest.fixture
def watch(connection, channel):
    for name in NAMES:
        declare(channel, name)
    with closing(connection.connection.dispatcher.claimer.watch(NAMES)) as watch:
        quiet(watch)
        yield watch


def quiet(watch):
    """Wait until the watch reports nothing more."""
    for _ in range(20):
        if not watch.wait(0.02):
            return
    pytest.fail("a watch that nothing happens to keeps saying that something did")


def a_moment(longest):
    return random.uniform(0, longest)  # noqa: S311 - no secret


def later(action):
    thread = threading.Timer(a_moment(0.02), action)
    thread.start()
    return thread


def told_of_a_message(watch, channel):
    """Post during a wait, and return the seconds until it ended; the messages are popped."""
    name = next(names)
    posting = later(lambda: publish(channel, name, "a"))
    begun = time.monotonic()
    while not (bodies := take_all(channel, name)):
        watch.wait(LIMIT)
    assert bodies == ["a"]
    posting.join()
    return time.monotonic() - begun


def are_short(delays):
    return sorted(delays)[-SLOW - 1] < SOON


def test_a_watch_that_was_interrupted_before_it_waited_hears_of_the_next_message(watch, channel):
    delays = []
    for _ in range(5):
        watch.interrupt()
        assert watch.wait(LIMIT) is True
        quiet(watch)
        delays.append(told_of_a_message(watch, channel))

    assert are_short(delays)


def test_a_watch_that_was_interrupted_as_it_waited_hears_of_the_next_message(watch, channel):
    delays = []
    for _ in range(5):
        interrupting = later(watch.interrupt)
        assert watch.wait(LIMIT) is True
        interrupting.join()
        quiet(watch)
        delays.append(told_of_a_message(watch, channel))

    assert are_short(delays)


def test_a_watch_that_is_interrupted_all_the_time_misses_nothing(watch, channel):
    ended = threading.Event()

    def interrupt():
        while not ended.wait(a_moment(0.004)):
            watch.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        assert are_short([told_of_a_message(watch, channel) for _ in range(30)])
    finally:
        ended.set()
        thread.join()
