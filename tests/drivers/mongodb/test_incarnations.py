"""The incarnation that a queue bears, compared with a cached queue."""

from __future__ import annotations

import pytest
from pymongo.collection import Collection

from kombu_pool import errors
from kombu_pool.testing import QueueHandle, bodies
from tests.support.mongodb.documents import count_messages

CLAIM = {"ttl": 60, "grace": 0}


@pytest.fixture
def queue(driver):
    made = QueueHandle(driver, "queue", "p")
    create(made, "one")
    return made


def create(queue, incarnation, metadata=None, **options):
    return queue.driver.queue_controller.create(queue.name, metadata, queue.project, incarnation=incarnation, **options)


def delete(queue, incarnation):
    queue.driver.queue_controller.delete(queue.name, queue.project, incarnation=incarnation)


def post(queue, body, incarnation):
    message = {"ttl": 60, "body": body}
    return queue.driver.message_controller.post(queue.name, [message], None, queue.project, incarnation=incarnation)


def claim(queue, incarnation, limit=10):
    return queue.driver.claim_controller.create(queue.name, CLAIM, queue.project, limit, incarnation=incarnation)


def ack_and_claim(queue, held, incarnation, limit=10):
    claim_id, messages = held
    pairs = [(message["id"], claim_id) for message in messages]
    return queue.driver.claim_controller.ack_and_claim(
        queue.name, pairs, CLAIM, queue.project, limit, incarnation=incarnation
    )


@pytest.mark.usefixtures("long_cache", "rare_scans")
def test_naming_the_incarnation_costs_no_command(queue, round_trips):
    def work(incarnation):
        for _ in range(5):
            post(queue, "a", incarnation)
        held = claim(queue, incarnation, limit=3)
        ack_and_claim(queue, held, incarnation)
        claim(queue, incarnation)

    def least(incarnation):
        return min(round_trips(lambda: work(incarnation)) for _ in range(4))

    work(None)

    assert least("one") == least(None)


@pytest.mark.usefixtures("long_cache")
def test_a_cached_queue_of_another_incarnation_is_read_again(queue, other):
    post(queue, "a", "one")
    delete(other, "one")
    create(other, "two")

    assert post(queue, "b", "two")

    assert other.free() == ["b"]


@pytest.mark.usefixtures("long_cache")
def test_a_claim_with_a_cached_queue_of_another_incarnation_reads_it_again(queue, other):
    for _ in range(3):
        claim(queue, "one")
    delete(other, "one")
    create(other, "two")
    post(other, "b", "two")

    assert bodies(claim(queue, "two")[1]) == ["b"]


def test_a_claim_in_a_queue_that_another_process_deleted_is_refused(queue, other):
    for body in range(20):
        post(queue, body, "one")
    for expected in range(3):
        assert bodies(claim(queue, "one", limit=1)[1]) == [expected]
    delete(other, "one")

    with pytest.raises(errors.QueueDoesNotExist):
        claim(queue, "one")


def test_a_claim_in_a_queue_that_another_process_made_again_is_refused(queue, other):
    for body in range(20):
        post(queue, body, "one")
    for expected in range(3):
        assert bodies(claim(queue, "one", limit=1)[1]) == [expected]
    delete(other, "one")
    create(other, "two")
    post(other, "b", "two")

    with pytest.raises(errors.QueueDoesNotExist):
        claim(queue, "one")
    assert other.free() == ["b"]


@pytest.mark.parametrize("limit", [0, 5])
def test_an_ack_and_claim_that_is_refused_by_the_store_deletes_nothing(queue, other, limit):
    post(queue, "a", "one")
    held = claim(queue, "one")
    create(other, "two", replaces="one")

    with pytest.raises(errors.QueueDoesNotExist):
        ack_and_claim(other, held, "one", limit)

    assert len(other.claim_of(held[0])[1]) == 1
    assert ack_and_claim(other, held, "two", limit) == ([], None, [])
    assert other.all() == []


def test_what_replaces_an_incarnation_waits_until_no_post_or_claim_uses_it(queue, other):
    post(queue, "a", "one")
    for _ in range(3):
        claim(queue, "one", limit=1)
    create(other, "two", {"_max_length": 1}, replaces="one")

    for use in (lambda: post(queue, "b", "one"), lambda: claim(queue, "one")):
        with pytest.raises(errors.QueueDoesNotExist):
            use()
    post(queue, "c", "two")
    post(queue, "d", "two")
    assert other.free() == ["d"]


@pytest.mark.parametrize("step", [0, 1], ids=["before the deletion is recorded", "after it was"])
def test_an_incarnation_that_is_replaced_during_its_deletion_stays(queue, other, meanwhile, database, step):
    post(queue, "a", "one")
    meanwhile(Collection, "bulk_write", lambda: create(other, "two", replaces="one"), after=step)

    delete(queue, "one")

    assert other.free() == ["a"]
    assert queue.driver.gc() == 0
    assert count_messages(database) == 1


def test_an_incarnation_that_is_created_at_the_same_time_is_a_conflict(driver, other, monkeypatch):
    contested = QueueHandle(driver, "contested", "p")
    insert_one = Collection.insert_one

    def create_first(collection, *args, **options):
        monkeypatch.setattr(Collection, "insert_one", insert_one)
        create(QueueHandle(other.driver, "contested", "p"), "two")
        return insert_one(collection, *args, **options)

    monkeypatch.setattr(Collection, "insert_one", create_first)

    with pytest.raises(errors.IncarnationConflict) as raised:
        create(contested, "one")

    assert raised.value.current == "two"
