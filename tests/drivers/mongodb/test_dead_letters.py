"""A dead message becomes a dead letter once, whichever process dies meanwhile and however many there are."""

from __future__ import annotations

import threading

import msgspec
import pytest
from pymongo.errors import AutoReconnect

from kombu_pool import drivers, errors
from kombu_pool.testing import QueueHandle
from tests.support.mongodb.children import result_of, start_child
from tests.support.mongodb.documents import count_messages
from tests.support.mongodb.failures import Died, die

RESERVATION_TTL = 60


@pytest.fixture
def expiring(queues, dlq):
    return queues("expiring", _dead_letter_queue="dlq", _dead_letter_expired=True)


@pytest.fixture
def routed(queues):
    """A queue whose dead letters are published, by processes that have the hook."""
    return queues("routed", _dead_letter_exchange="exchange", _max_claim_count=1)


def reject_and_die(queue, *posted):
    """Reject messages in a process that dies before they become dead letters."""
    queue.post(*posted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue.driver._dead_letters, "dead_letter_some", die)
        with pytest.raises(Died):
            queue.reject(queue.claim(limit=len(posted)))


def test_what_its_owner_left_is_out_of_sight_and_buried_by_the_next(expiring, dlq):
    reject_and_die(expiring, "a", "b")

    assert expiring.all() == []
    assert expiring.stats()["total"] == 0
    assert expiring.purge() == 0
    assert expiring.claim() == (None, [])
    assert dlq.free() == ["a", "b"]


def test_the_dead_cannot_be_read_or_deleted(expiring, dlq, driver):
    (message_id,) = expiring.post("a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver._dead_letters, "dead_letter_some", die)
        with pytest.raises(Died):
            expiring.reject(expiring.claim())

    with pytest.raises(errors.MessageDoesNotExist):
        expiring.get(message_id)
    expiring.delete(message_id)
    expiring.delete_all([message_id])
    driver.gc()
    assert driver.dead_letter_all() == 1
    assert dlq.free() == ["a"]


def test_a_process_that_dies_between_the_two_steps_loses_nothing(expiring, dlq, driver, clock, monkeypatch):
    reject_and_die(expiring, "a", "b")
    messages = type(driver._store.messages)
    monkeypatch.setattr(messages, "delete_many", die)
    with pytest.raises(Died):
        driver.dead_letter_all()
    monkeypatch.undo()
    seen = dlq.free()

    driver.dead_letter_all()
    clock.advance(RESERVATION_TTL)
    driver.dead_letter_all()

    # A transaction withdrew them; otherwise they are there, and the next process recognises them.
    assert seen in ([], ["a", "b"])
    assert dlq.free() == ["a", "b"]
    assert expiring.driver.dead_letter_all() == 0


def test_an_answer_that_got_lost_doubles_nothing(expiring, dlq, driver, clock, monkeypatch):
    reject_and_die(expiring, "a", "b")
    messages = type(driver._store.messages)
    insert_many = messages.insert_many

    def insert_without_answer(*arguments, **options):
        insert_many(*arguments, **options)
        raise AutoReconnect("lost")

    monkeypatch.setattr(messages, "insert_many", insert_without_answer)
    assert driver.dead_letter_all() == 0
    monkeypatch.undo()
    clock.advance(RESERVATION_TTL)

    assert driver.dead_letter_all() == 2
    assert dlq.free() == ["a", "b"]


def test_what_the_store_refuses_stays_and_the_rest_is_buried_once(expiring, dlq, driver, clock, database):
    reject_and_die(expiring, "a", "b", "c")
    database.command("collMod", "kombu_pool_messages", validator={"$or": [{"q": "expiring"}, {"d.count": {"$ne": 7}}]})
    database["kombu_pool_messages"].update_one({"b": msgspec.msgpack.encode("b")}, {"$set": {"n": 7}})

    driver.dead_letter_all()
    clock.advance(RESERVATION_TTL)
    driver.dead_letter_all()
    database.command("collMod", "kombu_pool_messages", validator={})
    clock.advance(RESERVATION_TTL)
    driver.dead_letter_all()

    assert sorted(dlq.free()) == ["a", "b", "c"]


def test_letters_keep_their_order_when_they_are_buried_after_a_death(expiring, dlq, driver, clock, monkeypatch):
    reject_and_die(expiring, "a", "b")
    monkeypatch.setattr(type(driver._store.messages), "delete_many", die)
    with pytest.raises(Died):
        driver.dead_letter_all()
    monkeypatch.undo()

    expiring.post("c")
    expiring.reject(expiring.claim())
    clock.advance(RESERVATION_TTL)
    driver.dead_letter_all()

    assert dlq.free() == ["a", "b", "c"]


def test_what_a_process_that_dies_was_publishing_is_published_by_others_later(routed, driver, clock):
    driver.dead_letter_hooks.publish = die
    routed.post("a", "b")
    with pytest.raises(Died):
        routed.reject(routed.claim())
    seen = []
    driver.dead_letter_hooks.publish = lambda *letter: seen.append(letter[3]["body"]) or True

    assert driver.dead_letter_all() == 0
    assert routed.all() == []
    clock.advance(RESERVATION_TTL)
    assert driver.dead_letter_all() == 2
    assert seen == ["a", "b"]


def test_a_long_line_is_not_published_by_a_process_whose_reservation_is_over(routed, driver, clock):
    seen = []

    def publish_slowly(project, exchange, routing_key, message):
        clock.advance(RESERVATION_TTL / 3)
        seen.append(message["body"])
        return True

    driver.dead_letter_hooks.publish = publish_slowly
    reject_and_die(routed, *range(5))

    while driver.dead_letter_all():
        pass
    assert seen == [*range(5)]


def test_what_was_claimed_too_often_is_claimed_while_it_cannot_be_published(routed, driver, clock):
    routed.post("a", "b")
    for count in (1, 2, 3):
        assert [message["claim_count"] for message in routed.claim(ttl=10).messages] == [count, count]
        clock.advance(10)

    seen = []
    driver._dead_letters._retry_at.clear()
    driver.dead_letter_hooks.publish = lambda *letter: seen.append(letter[3]["body"]) or True
    assert routed.claim() == (None, [])
    assert seen == ["a", "b"]


def test_a_claim_does_not_ask_again_at_once_for_what_cannot_be_published(routed, driver):
    asked = []

    def fail(*letter):
        asked.append(letter)
        raise errors.ConnectionError("away")

    driver.dead_letter_hooks.publish = fail
    reject_and_die(routed, "a")
    for _ in range(5):
        routed.claim()

    assert len(asked) == 1


def test_what_was_posted_while_its_queue_changed_is_buried_too(queues, dlq, driver, clock, database):
    for name in ("claimed", "collected"):
        queue = queues(name)
        queue.post(name, ttl=10)
        metadata = {"_dead_letter_queue": "dlq", "_dead_letter_expired": True}
        driver.queue_controller.set_metadata(name, metadata, "p")
    # As if their producer had read the queue just before.
    database["kombu_pool_messages"].update_many({}, {"$unset": {"e": True}})
    clock.advance(10)

    assert driver.dead_letter_all() == 0
    QueueHandle(driver, "claimed", "p").claim()
    assert dlq.free() == ["claimed"]
    driver.gc()
    assert driver.dead_letter_all() == 1
    assert dlq.free() == ["claimed", "collected"]


def test_what_expired_while_the_queue_did_not_bury_it_is_not_brought_back(expiring, dlq, driver, clock):
    expiring.post("a", ttl=10)
    expiring.post("b", ttl=30)
    driver.queue_controller.set_metadata("expiring", {}, "p")
    clock.advance(10)
    metadata = {"_dead_letter_queue": "dlq", "_dead_letter_expired": True}
    driver.queue_controller.set_metadata("expiring", metadata, "p")
    clock.advance(20)

    assert driver.dead_letter_all() == 1
    assert dlq.free() == ["b"]


def test_a_deleted_queue_takes_its_dead_with_it(routed, driver, database):
    reject_and_die(routed, *range(5))

    routed.drop()

    assert driver.dead_letter_all() == 0
    assert count_messages(database) == 0


def test_what_is_dead_of_a_queue_that_is_half_deleted_is_passed_over(routed, expiring, dlq, driver, database):
    reject_and_die(routed, "a")
    reject_and_die(expiring, "b")
    database["kombu_pool_queues"].delete_one({"q": "routed"})

    assert driver.dead_letter_all() == 1
    assert dlq.free() == ["b"]


def test_two_processes_bury_each_message_once(uri):
    driver = drivers.open_data(uri)
    dlq, queue = QueueHandle(driver, "dlq", "p"), QueueHandle(driver, "expiring", "p")
    dlq.create()
    queue.create(_dead_letter_queue="dlq")
    reject_and_die(queue, *range(600))

    def work():
        mine = drivers.open_data(uri)
        return sum(mine.dead_letter_all() for _ in range(4))

    children = [start_child(work) for _ in range(2)]
    moved = [int(result_of(child)) for child in children]

    assert sum(moved) == 600
    assert dlq.free() == [*range(600)]
    driver.close()


def test_two_publishers_publish_each_message_once(uri):
    driver, other = drivers.open_data(uri), drivers.open_data(uri)
    queue = QueueHandle(driver, "routed", "p")
    queue.create(_dead_letter_exchange="exchange")
    reject_and_die(queue, *range(200))
    seen = []
    for one in (driver, other):
        one.dead_letter_hooks.publish = lambda *letter: seen.append(letter[3]["body"]) or True

    threads = [threading.Thread(target=one.dead_letter_all) for one in (driver, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    driver.dead_letter_all()

    assert sorted(seen) == [*range(200)]
    driver.close()
    other.close()
