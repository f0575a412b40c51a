"""A post is stored completely or not at all, even if its process dies during it."""

from __future__ import annotations

import pytest

from kombu_pool import drivers, errors
from kombu_pool.testing import QueueHandle
from tests.support.mongodb.documents import count_messages
from tests.support.mongodb.failures import Died, die
from tests.support.servers import mongodb


@pytest.fixture
def uri():
    return mongodb.fresh_standalone_uri()


def test_a_post_that_was_given_up_before_it_was_whole_is_never_seen(queue, driver, clock, monkeypatch, database):
    store = driver._store
    monkeypatch.setattr(type(store), "collection", _dying_at(type(store).collection, "posts"))
    with pytest.raises(Died):
        queue.post("a", "b")
    monkeypatch.undo()

    assert queue.all() == []
    assert queue.stats()["total"] == 0
    clock.advance(121)
    driver.gc()
    assert queue.all() == []
    assert count_messages(database) == 0


def test_a_post_that_was_whole_is_seen_in_the_end(queue, driver, clock, monkeypatch):
    writer = driver.message_controller._writer
    monkeypatch.setattr(writer, "make_visible", die)
    with pytest.raises(Died):
        queue.post("a", "b")
    monkeypatch.undo()

    clock.advance(121)
    driver.gc()

    assert queue.free() == ["a", "b"]


def test_a_delayed_post_of_many_is_delayed(queue, clock):
    queue.post("a", "b", delay=10)

    assert queue.free() == []
    clock.advance(10)
    assert queue.free() == ["a", "b"]


def test_messages_of_one_producer_come_in_order_though_the_clock_goes_back(queue, clock):
    for body in range(5):
        queue.post(body)
        clock.advance(-1)

    assert queue.free() == [0, 1, 2, 3, 4]


def test_a_document_that_is_too_long_is_a_message_that_is_too_long(queue):
    with pytest.raises(errors.MessageTooLarge):
        queue.post(b"x" * (14 << 20), client="y" * (3 << 20))

    assert queue.all() == []


def test_what_was_posted_just_before_its_queue_went_goes_too(queue, driver, clock, database):
    found = driver._store.queue("p", "queue")
    queue.drop()
    late = driver.message_controller._writer.documents(found, [], None, clock.time())
    assert late == []
    database["kombu_pool_messages"].insert_one({"_id": b"1", **found.scope})

    assert driver.gc() == 1
    clock.advance(121)
    driver.gc()
    assert database["kombu_pool_deleted_queues"].count_documents({}) == 0


def test_a_long_queue_is_gone_at_once_and_its_messages_in_the_end(queue, driver, database):
    queue.post(*range(2500))

    queue.drop()

    left = count_messages(database)
    assert 0 < left <= 1500
    queue.create()
    assert queue.all() == []
    assert driver.gc() == left


def test_a_store_of_a_newer_version_is_refused(uri, database):
    database["kombu_pool_schema"].insert_one({"_id": "data", "version": 1000})
    driver = drivers.open_data(uri)

    with pytest.raises(errors.IncompatibleStore, match="layout version 1000"):
        QueueHandle(driver, "queue", None).create()
    driver.close()


def _dying_at(original, name):
    def collection(self, asked):
        return die() if asked == name else original(self, asked)

    return collection
