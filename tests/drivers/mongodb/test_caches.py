"""A post relies on a cached queue; a deletion or a change of the queue waits until no cache is fresh."""

from __future__ import annotations

import threading

import pytest

from kombu_pool import drivers, errors
from kombu_pool.drivers.mongodb import cached_queue, store
from kombu_pool.testing import QueueHandle, bodies
from tests.support.mongodb.documents import count_messages
from tests.support.mongodb.failures import failing_command
from tests.support.servers import mongodb


@pytest.fixture
def uri():
    return mongodb.fresh_uri()


@pytest.mark.usefixtures("long_cache")
def test_posts_in_a_row_are_a_command_each(queue, round_trips):
    queue.post("a")

    assert round_trips(lambda: [queue.post("b") for _ in range(5)]) < 10


def test_a_queue_that_another_process_deleted_takes_nothing(queue, other, database):
    queue.post("a")
    other.drop()

    with pytest.raises(errors.QueueDoesNotExist):
        queue.post("b")

    assert count_messages(database) == 0


def test_a_queue_that_another_process_made_anew_takes_it(queue, other):
    queue.post("a")
    other.drop()
    other.create()

    queue.post("b")

    assert other.free() == ["b"]


def test_what_another_process_asks_of_a_queue_holds_for_the_next_post(queue, other):
    queue.post("a")
    other.driver.queue_controller.set_metadata(other.name, {"_max_length": 1}, other.project)

    queue.post("b")

    assert other.free() == ["b"]


def test_a_post_that_takes_longer_than_the_queue_lives_is_refused():
    with mongodb.MongoServer(enableTestCommands=1) as server:
        slow, quick = (QueueHandle(drivers.open_data(server.uri("late")), "q", None) for _ in range(2))
        slow.create()
        slow.post("a")
        refused = []

        def post():
            with pytest.raises(errors.QueueDoesNotExist) as raised:
                slow.post("b")
            refused.append(raised.value)

        with failing_command(server, "insert", 1, blockConnection=True, blockTimeMS=500):
            thread = threading.Thread(target=post)
            thread.start()
            quick.drop()
            thread.join()

        assert len(refused) == 1
        quick.create()
        assert quick.all() == []
        slow.driver.close()
        quick.driver.close()


# Claims.


def test_a_claim_of_a_queue_that_another_process_made_anew_finds_what_is_there(queue, other):
    queue.post("a", "b")
    queue.claim(limit=1)
    queue.claim(limit=1)
    other.drop()
    other.create()
    other.post("c")

    assert bodies(queue.claim()) == ["c"]


def test_nothing_of_a_long_queue_is_lent_that_another_process_deleted(queue, other, monkeypatch):
    monkeypatch.setattr(cached_queue, "CLAIM_TTL", 1.0)
    monkeypatch.setattr(store, "_CLAIM_WAIT", 1.5)
    queue.post(*range(2500))
    for first in (0, 2):
        assert bodies(queue.claim(limit=2)) == [first, first + 1]
    other.drop()

    assert bodies(queue.claim(limit=2)) == []


def test_what_another_process_asks_of_a_queue_holds_for_the_next_claim(queue, other):
    QueueHandle(other.driver, "dead", other.project).create()
    queue.post("a")
    for _ in range(2):
        queue.end(queue.claim().id)
    policy = {"_max_claim_count": 2, "_dead_letter_queue": "dead"}
    other.driver.queue_controller.set_metadata(other.name, policy, other.project)

    assert bodies(queue.claim()) == []
