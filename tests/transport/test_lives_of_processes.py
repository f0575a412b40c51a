"""One queue in the hands of several processes: none loses what another confirmed, and nothing is left behind."""

from __future__ import annotations

import json
import time

import pytest

from kombu_pool import drivers
from tests.support.transport.child_lives import publish
from tests.support.transport.child_programs import Programs
from tests.support.transport.stores import STORES, two_pools
from tests.support.transport.traffic import count, eventually, exists, take_all

ROUNDS = 60
PUBLISHERS, CYCLES = 5, 15


@pytest.fixture
def options(shared_url, request, tmp_path):
    """Two pools."""
    store = STORES[request.node.callspec.params["shared_url"]]
    return {"pools": two_pools(store, tmp_path), "claim_ttl": 10}


@pytest.fixture
def lives(shared_url, options):
    started = Programs("tests.support.transport.child_lives")

    def start(program, /, **arguments):
        program = started.start(program, url=shared_url, options=options, **arguments)
        assert program.line() == "ready"
        return program

    yield start
    started.kill()


def orphans(channel, options):
    """Return the queues in a pool that the catalogue does not name there, and those it names that are nowhere."""
    catalogue = channel.connection.broker.control.catalogue_controller
    assigned = {(entry["queue"], entry["pool"]) for entry in catalogue.list(None)}
    there = set()
    for pool in options["pools"]:
        driver = drivers.open_data(pool["uri"])
        there |= {(queue["name"], pool["name"]) for queue in next(driver.queue_controller.list(limit=0))}
        driver.close()
    return assigned ^ there


@pytest.mark.timeout(180)
def test_what_meets_a_deletion_is_stored_returned_or_deleted(shared_url, opened, options, lives):
    channel = opened(shared_url, **options).channel()
    producer, deleter = lives("declare_and_publish"), lives("delete")
    answers = []
    for number in range(ROUNDS):
        queue = f"q{number}"
        if number % 2:
            channel.queue_declare(queue)
        for program in (producer, deleter):
            program.tell(queue)
        answers.append(producer.line())
        deleter.line()
        declared = exists(channel, queue)
        # A deletion that came last took the message with it; else both are there.
        assert not declared or count(channel, queue) == (answers[-1] == "stored"), (queue, answers[-1])
        if declared:
            assert publish(channel, queue, "after")

    assert "stored" in answers
    assert orphans(channel, options) == set()


@pytest.mark.timeout(180)
def test_publishers_that_know_an_earlier_life_lose_nothing(shared_url, opened, options, lives):
    channel = opened(shared_url, **options).channel()
    channel.queue_declare("q")
    publishers = [lives("publish_until_told", name=f"p{number}") for number in range(PUBLISHERS)]
    for program in publishers:
        program.tell()
    for _ in range(CYCLES):
        channel.queue_delete("q")
        channel.queue_declare("q")
        time.sleep(0.05)
    declared = time.monotonic()
    time.sleep(1)
    for program in publishers:
        program.tell()

    stored = [tuple(message) for program in publishers for message in json.loads(program.line())]

    there = set(take_all(channel, "q"))
    lost = [body for body, started in stored if started > declared and body not in there]
    assert lost == []
    assert any(started > declared for _, started in stored)
    assert orphans(channel, options) == set()


@pytest.mark.timeout(180)
def test_no_consumer_is_left_without_its_auto_delete_queue(shared_url, opened, options, lives):
    channel = opened(shared_url, **options).channel()
    first, second = lives("leave"), lives("attach")
    for number in range(ROUNDS // 3):
        queue = f"q{number}"
        first.tell(queue)
        assert first.line() == "consumes"
        first.tell()
        second.tell(queue)
        assert second.line() == "consumes"
        assert first.line() == "left"
        assert publish(channel, queue, "body"), queue
        assert second.line() == "got", queue

    second.kill()
    eventually(lambda: orphans(channel, options) == set())
