"""Expired queues in the hands of several processes: a slow one deletes no later life, and nothing is left behind."""

from __future__ import annotations

import time

import pytest

from kombu_pool import drivers
from tests.support.limits import best_of
from tests.support.transport.child_expiry import BRIEF, arguments_of, left_queue
from tests.support.transport.child_lives import publish
from tests.support.transport.child_programs import Programs
from tests.support.transport.stores import STORES, two_pools
from tests.support.transport.traffic import count, eventually, exists, take_all

ROUNDS = 10
#: Queues of each of the killed processes.
LEFT, KILLED = 100, 4
#: The promises, in seconds.
LETTERS_WITHIN, NOTHING_LEFT_WITHIN = 1.0, 60.0


@pytest.fixture
def options(shared_url, request, tmp_path):
    """Two pools."""
    store = STORES[request.node.callspec.params["shared_url"]]
    return {"pools": two_pools(store, tmp_path), "claim_ttl": 2}


@pytest.fixture
def programs(shared_url, options):
    started = Programs("tests.support.transport.child_expiry")

    def start(program, /, **arguments):
        program = started.start(program, url=shared_url, options=options, **arguments)
        assert program.line() == "ready"
        return program

    yield start
    started.kill()


def test_a_process_that_stalls_before_it_deletes_an_expired_queue_deletes_no_later_life(
    shared_url, opened, options, programs
):
    channel = opened(shared_url, **options).channel()
    deleting = programs("delete_in_two_steps")
    for number in range(ROUNDS):
        queue = f"q{number}"
        channel.queue_declare(queue, arguments=arguments_of(BRIEF))
        assert publish(channel, queue, "before")
        time.sleep(BRIEF)
        deleting.tell()
        assert queue in deleting.line().split()
        channel.queue_declare(queue, arguments=arguments_of(60))
        assert publish(channel, queue, "after"), queue

        deleting.tell()
        assert deleting.line() == "deleted"

        assert take_all(channel, queue) == ["after"], queue


def test_a_queue_that_expired_exists_for_no_caller(shared_url, opened, options):
    first, second = (opened(shared_url, **options).channel() for _ in range(2))
    first.queue_declare("q", arguments=arguments_of(BRIEF))
    assert publish(second, "q", "body")
    time.sleep(2 * BRIEF)

    # No process consumes, so none has deleted it.
    assert not publish(second, "q", "late")
    assert not exists(second, "q")
    assert first.queue_declare("q", arguments=arguments_of(60)).message_count == 0
    assert publish(second, "q", "body")
    assert count(first, "q") == 1


@pytest.mark.timeout(180)
def test_nothing_is_left_of_the_queues_of_killed_processes(shared_url, opened, options, programs):
    killed = [programs("leave", start=LEFT * number, count=LEFT) for number in range(KILLED)]
    for program in killed:
        assert program.line() == "made"
    assert len(remains(shared_url, opened, options)) >= LEFT * KILLED
    for program in killed:
        program.kill()
    began = time.monotonic()
    channel = opened(shared_url, **options).channel()
    channel.queue_declare("living")
    channel.basic_consume("living")

    eventually(lambda: remains(shared_url, opened, options) == [])

    assert time.monotonic() - began < NOTHING_LEFT_WITHIN


def remains(url, opened, options):
    """Return what the control store and the pools hold of the queues that processes left."""
    control = drivers.open_control(url.removeprefix("pool+"))
    found = [("record", each["name"]) for each in next(control.queue_controller.list(limit=0))]
    found += [("entry", each["queue"]) for each in control.catalogue_controller.list(None)]
    found += [("deletion", queue) for _, queue, _ in control.catalogue_controller.deletions(100_000)]
    found += [("binding", each["destination"]) for each in control.bindings_controller.list()]
    control.close()
    for pool in options["pools"]:
        data = drivers.open_data(pool["uri"])
        found += [(pool["name"], each["name"]) for each in next(data.queue_controller.list(limit=0))]
        data.close()
    return [(where, name) for where, name in found if name.startswith(left_queue(""))]


def test_what_expires_in_a_queue_without_a_consumer_is_dead_lettered_within_a_second(shared_url, opened, options):
    channel = opened(shared_url, **options).channel()
    channel.queue_declare("dead")
    channel.queue_declare("idle", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
    consuming = opened(shared_url, **options).channel()
    consuming.queue_declare("another")
    consuming.basic_consume("another")

    def attempt():
        before = count(channel, "dead")
        message = channel.prepare_message("body", properties={"expiration": "50"})
        channel.basic_publish(message, "", "idle")
        time.sleep(0.05)
        expired = time.monotonic()
        eventually(lambda: count(channel, "dead") > before)
        return time.monotonic() - expired

    assert best_of(attempt, LETTERS_WITHIN) < LETTERS_WITHIN
