"""A dead message is buried once, whoever dies in the middle of it and however many are at it."""

from __future__ import annotations

import contextlib
import threading

import msgspec
import pytest
from pymongo.errors import AutoReconnect

from kombu_pool import codec, drivers, errors
from kombu_pool.testing import QueueHandle, bodies
from tests.drivers.mongodb.test_caches import messages_in
from tests.drivers.mongodb.test_processes import in_child, outcome

RESERVATION_TTL = 60
#: Bodies whose records are of one size, in bytes.
FIRST_BODY = 100_000
SIZE = len(codec.encode(FIRST_BODY, 1000))


class Died(BaseException):
    """What a process that is killed does not get to handle."""


def die(*_, **__):
    raise Died


@pytest.fixture
def queues(driver):
    def make(name, **metadata):
        made = QueueHandle(driver, name, "p")
        made.create(**metadata)
        return made

    return make


@pytest.fixture
def graveyard(queues):
    return queues("graveyard")


@pytest.fixture
def mortal(queues, graveyard):
    return queues("mortal", _dead_letter_queue="graveyard", _dead_letter_expired=True)


@pytest.fixture
def routed(queues):
    """A queue whose dead letters are published, by whoever can."""
    return queues("routed", _dead_letter_exchange="exchange", _max_claim_count=1)


def rejected(queue, *posted):
    """Let messages be dead, and whoever rejects them die before they are buried."""
    queue.post(*posted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue.driver._dead_letters, "dead_letter_some", die)
        with pytest.raises(Died):
            queue.reject(queue.claim(limit=len(posted)))


def test_what_its_owner_left_is_out_of_sight_and_buried_by_the_next(mortal, graveyard):
    rejected(mortal, "a", "b")

    assert mortal.all() == []
    assert mortal.stats()["total"] == 0
    assert mortal.purge() == 0
    assert mortal.claim() == (None, [])
    assert graveyard.free() == ["a", "b"]


def test_the_dead_cannot_be_read_or_deleted(mortal, graveyard, driver):
    (message_id,) = mortal.post("a")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver._dead_letters, "dead_letter_some", die)
        with pytest.raises(Died):
            mortal.reject(mortal.claim())

    with pytest.raises(errors.MessageDoesNotExist):
        mortal.get(message_id)
    mortal.delete(message_id)
    mortal.delete_all([message_id])
    driver.gc()
    assert driver.dead_letter_all() == 1
    assert graveyard.free() == ["a"]


def test_whoever_dies_between_the_two_steps_loses_nothing(mortal, graveyard, driver, clock, monkeypatch):
    rejected(mortal, "a", "b")
    messages = type(driver._store.messages)
    monkeypatch.setattr(messages, "delete_many", die)
    with pytest.raises(Died):
        driver.dead_letter_all()
    monkeypatch.undo()
    seen = graveyard.free()

    driver.dead_letter_all()
    clock.advance(RESERVATION_TTL)
    driver.dead_letter_all()

    # A transaction took its letters back; else they are there, and those who do it again know them.
    assert seen in ([], ["a", "b"])
    assert graveyard.free() == ["a", "b"]
    assert mortal.driver.dead_letter_all() == 0


def test_an_answer_that_got_lost_doubles_nothing(mortal, graveyard, driver, clock, monkeypatch):
    rejected(mortal, "a", "b")
    messages = type(driver._store.messages)
    insert_many = messages.insert_many

    def insert_unheard(*arguments, **options):
        insert_many(*arguments, **options)
        raise AutoReconnect("lost")

    monkeypatch.setattr(messages, "insert_many", insert_unheard)
    assert driver.dead_letter_all() == 0
    monkeypatch.undo()
    clock.advance(RESERVATION_TTL)

    assert driver.dead_letter_all() == 2
    assert graveyard.free() == ["a", "b"]


def test_what_the_store_refuses_stays_and_the_rest_is_buried_once(mortal, graveyard, driver, clock, database):
    rejected(mortal, "a", "b", "c")
    database.command("collMod", "kombu_pool_messages", validator={"$or": [{"q": "mortal"}, {"d.count": {"$ne": 7}}]})
    database["kombu_pool_messages"].update_one({"b": msgspec.msgpack.encode("b")}, {"$set": {"n": 7}})

    driver.dead_letter_all()
    clock.advance(RESERVATION_TTL)
    driver.dead_letter_all()
    database.command("collMod", "kombu_pool_messages", validator={})
    clock.advance(RESERVATION_TTL)
    driver.dead_letter_all()

    assert sorted(graveyard.free()) == ["a", "b", "c"]


def test_letters_keep_their_order_when_they_are_buried_after_a_death(mortal, graveyard, driver, clock, monkeypatch):
    rejected(mortal, "a", "b")
    monkeypatch.setattr(type(driver._store.messages), "delete_many", die)
    with pytest.raises(Died):
        driver.dead_letter_all()
    monkeypatch.undo()

    mortal.post("c")
    mortal.reject(mortal.claim())
    clock.advance(RESERVATION_TTL)
    driver.dead_letter_all()

    assert graveyard.free() == ["a", "b", "c"]


def test_who_dies_while_he_publishes_leaves_it_to_others_after_a_while(routed, driver, clock):
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


def test_a_long_line_is_not_published_by_somebody_whom_others_do_not_wait_for_any_more(routed, driver, clock):
    seen = []

    def publish_slowly(project, exchange, routing_key, message):
        clock.advance(RESERVATION_TTL / 3)
        seen.append(message["body"])
        return True

    driver.dead_letter_hooks.publish = publish_slowly
    rejected(routed, *range(5))

    while driver.dead_letter_all():
        pass
    assert seen == [*range(5)]


def test_what_was_lent_too_often_is_lent_while_nobody_can_publish_it(routed, driver, clock):
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
    rejected(routed, "a")
    for _ in range(5):
        routed.claim()

    assert len(asked) == 1


def test_what_was_posted_while_its_queue_changed_is_buried_too(queues, graveyard, driver, clock, database):
    for name in ("claimed", "collected"):
        queue = queues(name)
        queue.post(name, ttl=10)
        metadata = {"_dead_letter_queue": "graveyard", "_dead_letter_expired": True}
        driver.queue_controller.set_metadata(name, metadata, "p")
    # As if whoever posts them had looked at the queue just before.
    database["kombu_pool_messages"].update_many({}, {"$unset": {"e": True}})
    clock.advance(10)

    assert driver.dead_letter_all() == 0
    QueueHandle(driver, "claimed", "p").claim()
    assert graveyard.free() == ["claimed"]
    driver.gc()
    assert driver.dead_letter_all() == 1
    assert graveyard.free() == ["claimed", "collected"]


def test_what_expired_while_the_queue_did_not_bury_it_is_not_brought_back(mortal, graveyard, driver, clock):
    mortal.post("a", ttl=10)
    mortal.post("b", ttl=30)
    driver.queue_controller.set_metadata("mortal", {}, "p")
    clock.advance(10)
    metadata = {"_dead_letter_queue": "graveyard", "_dead_letter_expired": True}
    driver.queue_controller.set_metadata("mortal", metadata, "p")
    clock.advance(20)

    assert driver.dead_letter_all() == 1
    assert graveyard.free() == ["b"]


def test_a_deleted_queue_takes_its_dead_with_it(routed, driver, database):
    rejected(routed, *range(5))

    routed.drop()

    assert driver.dead_letter_all() == 0
    assert messages_in(database) == 0


def test_what_is_dead_of_a_queue_that_is_half_deleted_is_passed_over(routed, mortal, graveyard, driver, database):
    rejected(routed, "a")
    rejected(mortal, "b")
    database["kombu_pool_queues"].delete_one({"q": "routed"})

    assert driver.dead_letter_all() == 1
    assert graveyard.free() == ["b"]


def test_two_processes_bury_each_message_once(uri):
    driver = drivers.open_data(uri)
    graveyard, queue = QueueHandle(driver, "graveyard", "p"), QueueHandle(driver, "mortal", "p")
    graveyard.create()
    queue.create(_dead_letter_queue="graveyard")
    rejected(queue, *range(600))

    def work():
        mine = drivers.open_data(uri)
        return sum(mine.dead_letter_all() for _ in range(4))

    children = [in_child(work) for _ in range(2)]
    buried = [int(outcome(child)) for child in children]

    assert sum(buried) == 600
    assert graveyard.free() == [*range(600)]
    driver.close()


def test_two_who_publish_publish_each_message_once(uri):
    driver, other = drivers.open_data(uri), drivers.open_data(uri)
    queue = QueueHandle(driver, "routed", "p")
    queue.create(_dead_letter_exchange="exchange")
    rejected(queue, *range(200))
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


# Bounded queues.


def test_two_processes_do_not_fill_a_queue_that_refuses_more(uri):
    driver = drivers.open_data(uri)
    queue = QueueHandle(driver, "strict", "p")
    queue.create(_max_length=25, _overflow="reject-publish")

    def work():
        mine, stored = QueueHandle(drivers.open_data(uri), "strict", "p"), 0
        for number in range(40):
            with contextlib.suppress(errors.QueueIsFull):
                stored += len(mine.post(number))
        return stored

    children = [in_child(work) for _ in range(2)]

    assert sum(int(outcome(child)) for child in children) == 25
    assert queue.count() == 25
    driver.close()


def test_what_is_too_much_by_thousands_dies_in_order(driver, queues, graveyard):
    queue = queues("short")
    queue.post(*range(2100))
    driver.queue_controller.set_metadata("short", {"_max_length": 10, "_dead_letter_queue": "graveyard"}, "p")

    queue.post(2100)
    driver.dead_letter_all()

    assert queue.free() == [*range(2091, 2101)]
    assert graveyard.free() == [*range(2091)]


@pytest.mark.parametrize("limits", [{"_max_length": 10}, {"_max_length_bytes": 10 * SIZE}], ids=["messages", "bytes"])
def test_processes_leave_a_queue_as_long_as_it_may_be_and_lose_nothing(uri, limits):
    """Of several that see it too long at once, none makes room for what another made room for."""
    driver = drivers.open_data(uri)
    graveyard, queue = QueueHandle(driver, "graveyard", "p"), QueueHandle(driver, "short", "p")
    graveyard.create()
    queue.create(**limits, _dead_letter_queue="graveyard")

    def work(first):
        mine = QueueHandle(drivers.open_data(uri), "short", "p")
        for number in range(first, first + 40):
            mine.post(FIRST_BODY + number)

    children = [in_child(lambda first=first: work(first)) for first in (0, 40, 80, 120)]
    for child in children:
        outcome(child)
    driver.dead_letter_all()

    assert queue.count() == 10
    assert sorted(queue.free() + graveyard.free()) == [FIRST_BODY + number for number in range(160)]
    driver.close()


def test_who_dies_while_he_posts_keeps_a_queue_from_others_for_a_while_only(queues, driver, clock, monkeypatch):
    queue = queues("strict", _max_length=5, _overflow="reject-publish")
    collection = type(driver._store.queues)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver.message_controller._writer, "store", die)
        patch.setattr(collection, "update_one", _but_no_unlocking(collection.update_one))
        with pytest.raises(Died):
            queue.post("a")
    monkeypatch.setattr("kombu_pool.drivers.mongodb.limits._LOCK_TIMEOUT", 0.02)

    with pytest.raises(errors.ConnectionError):
        queue.post("b")
    clock.advance(20)
    queue.post("c")

    assert queue.free() == ["c"]


def test_a_queue_that_goes_while_somebody_waits_to_post_does_not_exist(queues, driver, clock):
    queue = queues("strict", _max_length=5, _overflow="reject-publish")
    found = driver._store.queue("p", "strict")
    with driver.message_controller._length_limit._locked(found):
        queue.drop()
        with pytest.raises(errors.QueueDoesNotExist), driver.message_controller._length_limit._locked(found):
            pass


def test_a_long_queue_is_shortened_step_by_step(queues, graveyard, driver):
    queue = queues("long", _dead_letter_queue="graveyard")
    queue.post(*range(2500))
    driver.queue_controller.set_metadata("long", {"_dead_letter_queue": "graveyard", "_max_length": 10}, "p")

    queue.post("last")
    while driver.dead_letter_all():
        pass

    assert queue.count() == 10
    assert graveyard.free() == [*range(2491)]
    assert bodies(queue.pop(1)) == [2491]


def _but_no_unlocking(original):
    def update_one(self, where, update, **options):
        return die() if "$unset" in update else original(self, where, update, **options)

    return update_one
