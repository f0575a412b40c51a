"""Groups whose tasks come from a generator: a task is sent as soon as Celery publishes it.

Celery looks ahead, in some versions by two tasks: it publishes task n before it asks for task n + 3.
"""

from __future__ import annotations

import os

import pytest
from celery import group
from kombu.exceptions import OperationalError

from tests.support.celery.worker import eventually

#: How many tasks Celery has asked for, at most, beyond those that it has published.
AHEAD = 2


def note(site, number):
    return site.signature("note", str(number))


def taken(site):
    """Consume the queued tasks, and return the first argument of each, in order."""
    with site.app.connection_for_read() as connection:
        channel = connection.default_channel
        return [message.payload[0][0] for message in iter(lambda: channel.basic_get("celery", no_ack=True), None)]


def test_each_task_of_a_slow_generator_is_sent_at_once(site):
    def tasks():
        for number in range(6):
            if number > AHEAD:
                eventually(lambda expected=number - AHEAD: site.counts()[0] >= expected)
            yield note(site, number)

    group(tasks()).apply_async()

    assert taken(site) == list("012345")


def test_a_worker_runs_the_first_tasks_while_the_generator_waits(site):
    site.lone_worker("--pool=solo")

    def tasks():
        for number in range(5):
            if number > AHEAD:
                eventually(lambda published=str(number - AHEAD - 1): published in site.journal.texts())
            yield note(site, number)

    result = group(tasks()).apply_async()

    assert site.answer(result) == list("01234")


def test_tasks_that_are_held_are_sent_by_a_timer(site, posts, clock):
    def tasks():
        for number in range(8):
            if number == 6:
                assert posts.sizes == [("celery", 1)]
                clock.advance()
                eventually(lambda: len(posts.sizes) == 2)
            yield note(site, number)

    group(tasks()).apply_async()

    assert taken(site) == list("01234567")


def test_a_busy_generator_sends_what_it_has_held_for_long_enough(site, posts, clock):
    def tasks():
        for number in range(10):
            if number in {5, 8}:
                clock.advance()
            yield note(site, number)

    group(tasks()).apply_async()

    assert len(posts.sizes) == 4
    assert taken(site) == list("0123456789")


def with_failing_timer(site, posts, clock, rest):
    """Yield five tasks, of which the timer fails to send those that are held, and then the rest."""
    for number in range(5):
        yield note(site, number)
    posts.failing = 1
    clock.advance()
    eventually(lambda: not posts.failing)
    for number in range(5, 5 + rest):
        yield note(site, number)


@pytest.mark.parametrize("rest", [0, 5])
def test_what_the_timer_could_not_send_is_sent_once(site, posts, clock, rest):
    group(with_failing_timer(site, posts, clock, rest)).apply_async()

    assert taken(site) == [str(number) for number in range(5 + rest)]


@pytest.mark.parametrize("rest", [0, 5])
def test_a_failure_of_the_timer_is_raised_and_drops_nothing(site, posts, clock, rest):
    with pytest.raises(OperationalError, match="simulated failure"):
        group(with_failing_timer(site, posts, clock, rest)).apply_async(retry=False)

    sent = taken(site)
    assert len(sent) >= 5 - AHEAD
    assert sent == [str(number) for number in range(len(sent))]


def stopping(site, error):
    for number in range(6):
        yield note(site, number)
    raise error


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, OperationalError])
def test_what_was_published_before_the_generator_raised_is_sent_as_without_us(site, posts, error):
    with pytest.raises(error):
        group(stopping(site, error("the source of the tasks is gone"))).apply_async()
    sent = taken(site)
    site.app.conf.broker_transport_options = {"batch_groups": False}
    with pytest.raises(error):
        group(stopping(site, error("the source of the tasks is gone"))).apply_async()

    assert len(sent) >= 5 - AHEAD
    assert sent == taken(site)


class ChildEndsError(BaseException):
    """Ends the group in the child as an error does, before ``pytest`` catches it."""


def test_a_forked_child_sends_nothing_of_its_parents_group(site, posts):
    def tasks():
        for number in range(6):
            yield note(site, number)
        child = os.fork()
        if not child:
            raise ChildEndsError
        os.waitpid(child, 0)

    try:
        group(tasks()).apply_async()
    except ChildEndsError:
        os._exit(0)

    sent = taken(site)
    # Celery itself publishes one more in the child, of those behind.
    assert [sent.count(name) for name in "0123"] == [1] * 4
