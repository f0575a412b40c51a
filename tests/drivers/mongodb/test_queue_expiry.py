"""The expiry of a queue against its holders and its readers: processes that meet between two steps, and that die."""

from __future__ import annotations

import pytest

from kombu_pool import drivers, errors
from kombu_pool.drivers.mongodb.control.consumers import ConsumersController
from kombu_pool.drivers.mongodb.control.holders import NewHolder
from kombu_pool.drivers.mongodb.control.lifetimes import Lifetimes
from kombu_pool.model import ACTIVE, DELETING, EXPIRED, Expiry
from tests.support.mongodb.documents import documents
from tests.support.mongodb.failures import Died, die

FROM_NOW = Expiry(10, from_now=True)


@pytest.fixture
def expired(created, clock):
    """The assignment of a queue that has expired."""
    assigned = created(expiry=FROM_NOW)
    clock.advance(11)
    return assigned


@pytest.fixture
def other(uri, clock):
    """The control store as another process sees it."""
    driver = drivers.open_control(uri, clock=clock)
    yield driver
    driver.close()


# Holders.


@pytest.mark.parametrize("look", [0, 1])
@pytest.mark.parametrize("unused", [False, True], ids=["expired", "unused"])
def test_a_holder_that_is_added_during_an_expiry_keeps_the_queue(
    catalogue, consumers, created, clock, meanwhile, look, unused
):
    assigned = created(expiry=FROM_NOW)
    # An expired queue takes holders of any life only.
    clock.advance(0 if unused else 11)
    incarnation = assigned.incarnation if unused else None
    attached = []

    def attach():
        attached.append(consumers.add_holder("q", "one", 60, incarnation=incarnation))

    meanwhile(ConsumersController, "_has_no_consumer" if unused else "_has_expired", attach, after=look)

    assert not consumers.expire("q", unused=assigned.incarnation if unused else None)

    assert attached == [True]
    assert catalogue.find(None, "q").state == ACTIVE
    assert consumers.count("q") == 1


@pytest.mark.parametrize("change", ["add_holder", "add_holder_of_any_life", "touch", "set_lifetime"])
@pytest.mark.parametrize("unused", [False, True], ids=["expired", "unused"])
def test_a_change_after_the_last_look_of_an_expiry_keeps_the_queue_unless_it_has_expired(
    catalogue, consumers, created, clock, meanwhile, change, unused
):
    assigned = created(expiry=FROM_NOW)
    clock.advance(0 if unused else 11)
    changes = {
        "add_holder": lambda: consumers.add_holder("q", "one", 60, incarnation=assigned.incarnation),
        "add_holder_of_any_life": lambda: consumers.add_holder("q", "one", 60),
        "touch": lambda: consumers.touch("q"),
        "set_lifetime": lambda: consumers.set_lifetime("q", 10, from_now=True) or True,
    }
    answers = []
    meanwhile(ConsumersController, "_end_life", lambda: answers.append(changes[change]()))

    ended = consumers.expire("q", unused=assigned.incarnation if unused else None)

    assert answers == [not ended]
    assert ended == (not unused and change in ("add_holder", "touch"))
    assert catalogue.find(None, "q").state == (DELETING if ended else ACTIVE)


@pytest.mark.parametrize("look", [0, 1])
def test_a_holder_of_the_life_that_expires_does_not_keep_it(catalogue, consumers, expired, meanwhile, look, database):
    attached = []

    def attach():
        attached.append(consumers.add_holder("q", "one", 60, incarnation=expired.incarnation))

    meanwhile(ConsumersController, "_has_expired", attach, after=look)

    assert consumers.expire("q")

    assert attached == [False]
    assert catalogue.find(None, "q").state == DELETING
    assert documents(database, "holders") == []


def test_a_holder_that_will_be_refused_prolongs_no_life_meanwhile(consumers, expired, other, meanwhile):
    found = []

    def look():
        found.append(other.catalogue_controller.find(None, "q").state)
        # A check that takes the holder for a live one would postpone the end.
        found.append(other.consumers_controller.expired_queues())

    meanwhile(Lifetimes, "update_unexpired", look)

    assert not consumers.add_holder("q", "one", 60, incarnation=expired.incarnation)

    assert found == [EXPIRED, [(None, "q")]]
    assert other.catalogue_controller.find(None, "q").state == EXPIRED


def test_a_holder_that_is_refused_postpones_no_end(catalogue, consumers, created, clock):
    created(expiry=FROM_NOW)

    assert not consumers.add_holder("q", "one", 60, incarnation="another")

    clock.advance(11)
    assert catalogue.find(None, "q").state == EXPIRED
    assert consumers.expired_queues() == [(None, "q")]


def test_a_queue_whose_first_holder_died_before_it_was_confirmed_expires(
    catalogue, consumers, created, clock, monkeypatch
):
    assigned = created(expiry=Expiry(0))
    with monkeypatch.context() as patch:
        patch.setattr(NewHolder, "confirm", die)
        with pytest.raises(Died):
            consumers.add_holder("q", "one", 60, incarnation=assigned.incarnation)
    assert catalogue.find(None, "q") == assigned
    assert not consumers.expire("q")

    clock.advance(61)

    assert consumers.expired_queues() == [(None, "q")]
    assert consumers.expire("q")


def test_an_exclusive_queue_whose_process_died_in_its_creation_expires(catalogue, consumers, clock, monkeypatch):
    assigned, _ = catalogue.assign(None, "q", "a", lease=60)
    with monkeypatch.context() as patch:
        patch.setattr(NewHolder, "confirm", die)
        with pytest.raises(Died):
            catalogue.activate(None, "q", assigned.incarnation, {}, Expiry(0, holder="owner", holder_ttl=60))

    clock.advance(61)

    assert consumers.expired_queues() == [(None, "q")]


def test_a_queue_that_is_deleted_before_its_holder_is_confirmed_refuses_it(catalogue, consumers, created, meanwhile):
    assigned = created()
    meanwhile(NewHolder, "confirm", lambda: catalogue.begin_deletion(None, "q", assigned.incarnation))

    assert not consumers.add_holder("q", "one", 60, incarnation=assigned.incarnation)

    assert consumers.renew(["one"], 60) == ["one"]


def test_an_unused_queue_is_kept_for_a_consumer_that_is_about_to_be_confirmed(consumers, created, other, meanwhile):
    assigned = created()
    ended = []

    def delete():
        ended.append(other.consumers_controller.expire("q", unused=assigned.incarnation))

    meanwhile(NewHolder, "confirm", delete)

    assert consumers.add_holder("q", "one", 60, incarnation=assigned.incarnation)

    assert ended == [False]


def test_a_holder_that_is_refused_leaves_nothing(consumers, catalogue, created, database):
    first = created()
    catalogue.begin_deletion(None, "q", first.incarnation)

    assert not consumers.add_holder("q", "one", 60, incarnation=first.incarnation)

    assert documents(database, "holders") == []


def test_a_refused_holder_stays_what_it_was(consumers, catalogue, created, clock):
    first = created()
    assert consumers.add_holder("q", "one", 60, incarnation=first.incarnation)
    second, _ = catalogue.assign(None, "q", "b", replaces=first, lease=60)
    assert catalogue.activate(None, "q", second.incarnation)

    assert not consumers.add_holder("q", "one", 1000, incarnation=first.incarnation)

    assert consumers.count("q") == 1
    clock.advance(61)
    assert consumers.count("q") == 0


def test_a_holder_of_a_later_life_stays_when_one_of_its_name_is_refused(consumers, catalogue, created):
    first = created()
    catalogue.begin_deletion(None, "q", first.incarnation)
    catalogue.delete(None, "q", incarnation=first.incarnation)
    second = created()
    assert consumers.add_holder("q", "one", 60, incarnation=second.incarnation)

    assert not consumers.add_holder("q", "one", 60, incarnation=first.incarnation)

    assert consumers.count("q") == 1
    catalogue.begin_deletion(None, "q", second.incarnation)
    assert consumers.count("q") == 0


def test_the_end_of_a_holder_removes_those_that_died_long_before(consumers, created, clock, database):
    assigned = created()
    for number in range(5):
        consumers.add_holder("q", f"dead {number}", 60, incarnation=assigned.incarnation)
    clock.advance(2 * 86_400)
    consumers.add_holder("q", "alive", 60, incarnation=assigned.incarnation)
    consumers.add_holder("q", "one", 60, incarnation=assigned.incarnation)

    consumers.remove_holders(["one"])

    assert [holder["h"] for holder in documents(database, "holders")] == ["alive"]


# Readers.


def test_a_queue_that_is_being_deleted_as_unused_exists_for_every_other_process_until_then(
    consumers, created, other, meanwhile
):
    assigned = created(expiry=FROM_NOW)
    found = []

    def look():
        catalogue = other.catalogue_controller
        found.extend((catalogue.find(None, "q"), other.queue_controller.get("q"), catalogue.get(None, "q")["pool"]))

    meanwhile(ConsumersController, "_end_life", look)

    assert consumers.expire("q", unused=assigned.incarnation)

    assert found == [assigned, {"pool": "a"}, "a"]


def test_a_queue_that_expires_exists_for_no_process(consumers, expired, other, meanwhile):
    found = []

    def look():
        found.extend((other.catalogue_controller.find(None, "q"), other.queue_controller.exists("q")))
        with pytest.raises(errors.QueueDoesNotExist):
            other.queue_controller.get("q")

    meanwhile(ConsumersController, "_end_life", look)

    assert consumers.expire("q")

    assert found == [expired._replace(state=EXPIRED), False]


def test_a_queue_in_use_is_found_though_its_end_was_near(catalogue, control, consumers, created, clock):
    assigned = created(expiry=FROM_NOW)
    consumers.add_holder("q", "one", 60, incarnation=assigned.incarnation)
    clock.advance(59)
    assert consumers.renew(["one"], 60) == []
    clock.advance(59)

    assert catalogue.find(None, "q") == assigned
    assert control.queue_controller.exists("q")
    control.queue_controller.set_metadata("q", {"a": 2})
    assert control.queue_controller.get("q") == {"a": 2}
    assert consumers.add_holder("q", "two", 60, incarnation=assigned.incarnation)
    assert consumers.touch("q")


def test_the_end_of_a_queue_is_told_by_the_clock_of_the_driver(uri):
    driver = drivers.open_control(uri)
    driver.consumers_controller.set_lifetime("q", 100, from_now=True)

    _, expires = driver.catalogue_controller.find_until(None, "q")

    assert 90 < expires - driver.catalogue_controller._lifetimes._clock.time() <= 100.1
    driver.close()


# Marks.


def test_the_mark_of_an_expiry_that_died_is_taken_over(catalogue, consumers, expired, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(ConsumersController, "_end_life", die)
        with pytest.raises(Died):
            consumers.expire("q")
    assert catalogue.find(None, "q") == expired._replace(state=EXPIRED)

    assert consumers.expire("q")

    assert catalogue.find(None, "q").state == DELETING


@pytest.mark.usefixtures("expired")
def test_of_two_expiries_at_once_one_ends_the_queue(catalogue, consumers, meanwhile):
    answers = []
    meanwhile(ConsumersController, "_end_life", lambda: answers.append(consumers.expire("q")))

    answers.append(consumers.expire("q"))

    assert answers == [True, False]
    assert catalogue.find(None, "q").state == DELETING


# The cost.


def test_what_each_step_costs_of_a_queue_that_may_have_expired(
    control, catalogue, consumers, created, round_trips, clock
):
    assigned = created(expiry=FROM_NOW)
    queues = control.queue_controller

    assert round_trips(lambda: catalogue.find(None, "q")) == 1
    assert round_trips(lambda: queues.get("q")) == 1
    assert round_trips(lambda: queues.exists("q")) == 1
    assert round_trips(lambda: queues.set_metadata("q", {})) == 1
    assert round_trips(lambda: consumers.touch("q")) == 1
    clock.advance(11)
    assert round_trips(lambda: catalogue.find(None, "q")) == 2
    assert round_trips(lambda: queues.exists("q")) == 2
    assert round_trips(lambda: consumers.add_holder("q", "one", 60, incarnation=assigned.incarnation)) == 4
    consumers.add_holder("q", "one", 60)
    assert round_trips(lambda: catalogue.find(None, "q")) == 1
    assert round_trips(lambda: consumers.add_holder("q", "two", 60, incarnation=assigned.incarnation)) == 3
