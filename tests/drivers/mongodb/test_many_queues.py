"""Many queues in the same commands: what they cost, and processes that meet between two steps, or that die."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from pymongo.collection import Collection

from kombu_pool import drivers
from kombu_pool.drivers.mongodb import store
from kombu_pool.drivers.mongodb.control.consumers import ConsumersController
from kombu_pool.drivers.mongodb.control.lives import Lives
from kombu_pool.drivers.mongodb.queue_deletion import QueueDeletion
from kombu_pool.model import ACTIVE, DELETING, NO_INCARNATION, Expiry
from tests.support.mongodb.documents import count_messages, documents
from tests.support.mongodb.failures import Died, die

FROM_NOW = Expiry(10, from_now=True)
NAMES = [f"q{number}" for number in range(30)]
NAMED = [(None, name) for name in NAMES]


@pytest.fixture
def other(uri, clock):
    """The control store as another process sees it."""
    driver = drivers.open_control(uri, clock=clock)
    yield driver
    driver.close()


@pytest.fixture
def expired(created, clock):
    """The assignments of queues that have expired."""
    assigned = [created(name, expiry=FROM_NOW) for name in NAMES]
    clock.advance(11)
    return assigned


@pytest.fixture
def ended(consumers, expired):
    """The queues, as (project, name, incarnation), that are DELETING."""
    assert consumers.expire_many(NAMED) == NAMED
    return [(None, name, assigned.incarnation) for name, assigned in zip(NAMES, expired, strict=True)]


@pytest.fixture
def stored(driver):
    """The same queues in a pool, each with a message."""
    queues = [("p", name, f"one of {name}") for name in NAMES]
    for project, name, incarnation in queues:
        driver.queue_controller.create(name, {}, project, incarnation=incarnation)
        driver.message_controller.post(name, [{"ttl": 60, "body": "body"}], None, project)
    return queues


# The cost.


def test_a_batch_of_queues_is_deleted_in_a_few_commands_and_one_wait(
    driver, stored, round_trips, monkeypatch, database
):
    sleeps = []
    with monkeypatch.context() as patch:
        patch.setattr(store, "time", SimpleNamespace(sleep=sleeps.append, monotonic=time.monotonic))

        assert round_trips(lambda: driver.queue_controller.delete_many(stored)) == 7

    assert sleeps == [store._POST_WAIT]
    assert [documents(database, name) for name in ("queues", "messages")] == [[], []]
    assert len(documents(database, "deleted_queues")) == len(NAMES)


def test_a_batch_of_queues_expires_and_is_forgotten_in_a_few_commands(
    control, catalogue, consumers, expired, round_trips, database
):
    bindings = control.bindings_controller
    bindings.create_exchange("x", "direct")
    lives = [(None, name, assigned.incarnation) for name, assigned in zip(NAMES, expired, strict=True)]
    for name in NAMES:
        bindings.bind("x", name)
    before = bindings.generation("x")

    assert round_trips(lambda: consumers.expire_many(NAMED)) == 7
    assert round_trips(lambda: catalogue.find_many(NAMED)) == 1
    assert round_trips(lambda: bindings.unbind_queues(lives)) == 5
    assert bindings.generation("x") == before + 1
    assert round_trips(lambda: catalogue.delete_many(lives)) == 4
    assert round_trips(lambda: catalogue.delete_many(lives)) == 1
    assert [documents(database, name) for name in ("control_queues", "bindings", "holders")] == [[], [], []]


def test_queues_of_a_batch_are_found_by_their_names(catalogue, consumers, created, ended, profiled, control):
    for number in range(300):
        created(f"other{number}", expiry=FROM_NOW)

    def work():
        consumers.expire_many(NAMED)
        catalogue.find_many(NAMED)
        control.bindings_controller.unbind_queues(ended)
        catalogue.delete_many(ended)

    assert max(one.get("docsExamined", 0) for one in profiled(work)) <= 3 * len(NAMES)


def test_messages_of_a_batch_are_found_by_their_queues(driver, stored, profiled):
    for number in range(300):
        driver.queue_controller.create(f"other{number}", {}, "p", incarnation="one")

    done = profiled(lambda: driver.queue_controller.delete_many(stored))

    assert max(one.get("docsExamined", 0) for one in done) <= 3 * len(NAMES)


# Queues in a pool.


@pytest.mark.parametrize("step", [0, 1], ids=["before the deletions are recorded", "after they were"])
def test_a_queue_that_is_replaced_during_its_deletion_in_a_batch_stays(driver, stored, meanwhile, database, step):
    project, name, incarnation = stored[3]

    def replace():
        driver.queue_controller.create(name, {}, project, incarnation="two", replaces=incarnation)

    meanwhile(Collection, "bulk_write", replace, after=step)

    driver.queue_controller.delete_many(stored)

    assert [queue["a"] for queue in documents(database, "queues")] == ["two"]
    assert driver.message_controller.count(name, project) == 1
    driver.gc()
    assert count_messages(database) == 1


def test_a_queue_that_another_process_deletes_at_once_is_gone(driver, stored, meanwhile, database):
    first = stored[0]
    meanwhile(Collection, "bulk_write", lambda: database["kombu_pool_queues"].delete_one({"q": first[1]}), after=1)

    driver.queue_controller.delete_many(stored)

    assert documents(database, "queues") == []
    assert count_messages(database) == 0


def test_a_batch_whose_process_died_leaves_its_messages_to_the_collector(driver, stored, monkeypatch, database):
    with monkeypatch.context() as patch:
        patch.setattr(QueueDeletion, "_delete_messages", die)
        with pytest.raises(Died):
            driver.queue_controller.delete_many(stored)
    assert documents(database, "queues") == []
    assert count_messages(database) == len(stored)

    driver.gc()

    assert documents(database, "messages") == []


def test_of_a_batch_with_many_messages_no_claim_finds_the_rest(driver, stored, monkeypatch, database):
    monkeypatch.setattr("kombu_pool.drivers.mongodb.queue_deletion.BATCH_SIZE", 0)
    claim = {"ttl": 60, "grace": 0}
    for project, name, _ in stored[:3]:
        driver.message_controller.post(name, [{"ttl": 60, "body": "body"}], None, project)
        driver.claim_controller.create(name, claim, project, limit=1)

    driver.queue_controller.delete_many(stored)

    assert count_messages(database) == len(stored) + 3
    for project, name, _ in stored[:3]:
        assert driver.claim_controller.create(name, claim, project) == (None, [])
    driver.gc()
    assert documents(database, "messages") == []


def test_a_batch_compares_the_incarnation_of_each_queue(driver, database):
    queues = driver.queue_controller
    for name, incarnation in (("a", "one"), ("b", "two"), ("c", NO_INCARNATION)):
        queues.create(name, {}, incarnation=incarnation)

    queues.delete_many([(None, "a", "two"), (None, "b", "one"), (None, "c", "one"), (None, "a", NO_INCARNATION)])
    assert len(documents(database, "queues")) == 3
    queues.delete_many([(None, "a", "two"), (None, "a", "one"), (None, "c", NO_INCARNATION)])

    assert [queue["q"] for queue in documents(database, "queues")] == ["b"]


# Queues in the control store.


@pytest.mark.parametrize("look", [0, 1])
def test_a_holder_that_is_added_during_an_expiry_of_many_keeps_its_queue(
    catalogue, consumers, expired, other, meanwhile, look, database
):
    def attach():
        other.consumers_controller.add_holder("q3", "one", 60)

    meanwhile(type(consumers._lifetimes), "read_many", attach, after=look)

    assert consumers.expire_many(NAMED) == [*NAMED[:3], *NAMED[4:]]

    assert catalogue.find(None, "q3") == expired[3]
    assert other.consumers_controller.count("q3") == 1
    assert [one["q"] for one in documents(database) if "d" in one and one["f"] == ACTIVE] == []


def test_a_holder_that_is_added_after_the_last_look_keeps_its_queue(catalogue, consumers, expired, other, meanwhile):
    meanwhile(ConsumersController, "_end_lives", lambda: other.consumers_controller.add_holder("q3", "one", 60))

    assert consumers.expire_many(NAMED) == [*NAMED[:3], *NAMED[4:]]

    assert catalogue.find(None, "q3") == expired[3]


@pytest.mark.usefixtures("expired")
def test_of_two_expiries_of_many_at_once_each_queue_is_in_one(catalogue, consumers, other, meanwhile):
    answers = []

    def expire_some():
        answers.extend(other.consumers_controller.expire_many(NAMED[:10]))
        answers.extend(named for named in NAMED[10:15] if other.consumers_controller.expire(named[1]))

    meanwhile(ConsumersController, "_end_lives", expire_some)

    answers.extend(consumers.expire_many(NAMED))

    assert sorted(answers) == sorted(NAMED)
    assert {one.state for one in catalogue.find_many(NAMED)} == {DELETING}


def test_marks_of_an_expiry_of_many_that_died_are_taken_over(consumers, expired, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(ConsumersController, "_end_lives", die)
        with pytest.raises(Died):
            consumers.expire_many(NAMED)

    assert len(consumers.expire_many(NAMED)) == len(expired)


def test_an_expiry_of_many_that_died_leaves_no_holder_to_the_next_lives(
    catalogue, consumers, created, clock, monkeypatch, database
):
    lives = [(None, name, created(name, expiry=FROM_NOW).incarnation) for name in NAMES]
    for _, name, incarnation in lives:
        consumers.add_holder(name, f"holder of {name}", 5, incarnation=incarnation)
    clock.advance(16)
    with monkeypatch.context() as patch:
        patch.setattr(Lives, "remove_holders_of_all", die)
        with pytest.raises(Died):
            consumers.expire_many(NAMED)
    assert len(documents(database, "holders")) == len(NAMES)

    catalogue.delete_many(lives)

    assert documents(database, "holders") == []
    assert documents(database) == []


def test_an_unverified_assignment_expires_with_the_pool_that_it_replaced(catalogue, consumers, expired, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("kombu_pool.drivers.mongodb.control.registry.Registry.read", die)
        with pytest.raises(Died):
            catalogue.assign(None, "q3", "nowhere", replaces=expired[3], lease=60)

    assert len(consumers.expire_many(NAMED)) == len(NAMES)

    assert catalogue.find(None, "q3") == expired[3]._replace(state=DELETING)


def test_a_record_without_an_assignment_stays_without_a_mark(control, consumers, clock, database):
    control.queue_controller.create("recorded", {"a": 1})
    for name in ("recorded", "plain"):
        consumers.set_lifetime(name, 10, from_now=True)
        consumers.add_holder(name, "one", 1)
    clock.advance(12)

    assert len(consumers.expire_many([(None, "recorded"), (None, "plain")])) == 2

    assert control.queue_controller.get("recorded") == {"a": 1}
    (left,) = documents(database)
    assert "d" not in left
    assert documents(database, "holders") == []


@pytest.mark.parametrize("step", ["update_many", "delete_many"])
def test_a_stalled_batch_leaves_the_same_binding_of_the_next_life(
    control, catalogue, created, other, ended, meanwhile, step
):
    bindings = control.bindings_controller
    bindings.create_exchange("x", "direct")
    for name in NAMES:
        bindings.bind("x", name)

    def live_again():
        other.bindings_controller.unbind_queues(ended[3:4])
        catalogue.delete_many(ended[3:4])
        other.bindings_controller.bind("x", "q3", incarnation=created("q3").incarnation)

    meanwhile(Collection, step, live_again)

    bindings.unbind_queues(ended)

    assert [binding["destination"] for binding in bindings.list("x")] == ["q3"]
