"""Bindings to one life of a queue: processes that meet between two steps, that stall, and that die."""

from __future__ import annotations

import pytest
from pymongo.collection import Collection

from kombu_pool import drivers, errors
from kombu_pool.drivers.mongodb.control.life_bindings import Life
from tests.support.mongodb.documents import documents
from tests.support.mongodb.failures import Died, die


@pytest.fixture
def bindings(control):
    control.bindings_controller.create_exchange("x", "direct")
    return control.bindings_controller


@pytest.fixture
def other(uri, clock):
    """The bindings as another process sees them."""
    driver = drivers.open_control(uri, clock=clock)
    yield driver.bindings_controller
    driver.close()


@pytest.fixture
def end(catalogue, bindings):
    """Return a function that ends the life of a queue."""

    def delete(life):
        assert catalogue.begin_deletion(None, "q", life.incarnation)
        bindings.unbind_queue("q", incarnation=life.incarnation)
        catalogue.delete(None, "q", incarnation=life.incarnation)

    return delete


@pytest.fixture
def afterwards(monkeypatch):
    """Return a function that runs an action after the first call of a method."""

    def arrange(owner, name, action):
        actions, original = [action], getattr(owner, name)

        def step(*args, **options):
            result = original(*args, **options)
            if actions:
                actions.pop()()
            return result

        monkeypatch.setattr(owner, name, step)

    return arrange


def keys(bindings):
    return [binding["routing_key"] for binding in bindings.list("x")]


@pytest.mark.parametrize("moment", ["before the assignment is read", "after it was read"])
def test_a_binding_of_a_life_that_ends_meanwhile_is_refused(
    bindings, created, end, meanwhile, afterwards, moment, database
):
    life = created()
    arrange = meanwhile if moment.startswith("before") else afterwards
    arrange(Life, "require", lambda: end(life))

    with pytest.raises(errors.QueueDoesNotExist):
        bindings.bind("x", "q", "key", incarnation=life.incarnation)

    assert keys(bindings) == []
    assert documents(database, "bindings") == []


def test_a_binding_is_not_listed_before_the_assignment_was_read(bindings, created, other, meanwhile):
    life, listed = created(), []
    meanwhile(Life, "require", lambda: listed.append(keys(other)))

    assert bindings.bind("x", "q", "key", incarnation=life.incarnation)

    assert listed == [[]]
    assert keys(other) == ["key"]


def test_a_refused_binding_changes_nothing(bindings, created, end, database):
    life = created()
    end(life)
    before = bindings.generation("x")

    with pytest.raises(errors.QueueDoesNotExist):
        bindings.bind("x", "q", "key", incarnation=life.incarnation)

    assert bindings.generation("x") == before
    assert documents(database, "bindings") == []


def test_processes_that_bind_at_once_make_one_binding(bindings, created, other, meanwhile):
    life, answers = created(), []
    meanwhile(Life, "require", lambda: answers.append(other.bind("x", "q", "key", incarnation=life.incarnation)))

    answers.append(bindings.bind("x", "q", "key", incarnation=life.incarnation))

    assert answers == [True, False]
    assert keys(bindings) == ["key"]


def test_an_exchange_that_is_deleted_meanwhile_is_missed(bindings, created, other, meanwhile, database):
    life = created()
    meanwhile(Life, "require", lambda: other.delete_exchange("x"))

    with pytest.raises(errors.ExchangeDoesNotExist):
        bindings.bind("x", "q", "key", incarnation=life.incarnation)

    assert documents(database, "bindings") == []


@pytest.fixture
def unfinished(bindings, created, monkeypatch):
    """A life of a queue, the process of which died while it bound the queue."""
    life = created()
    with monkeypatch.context() as patch:
        patch.setattr(Life, "require", die)
        with pytest.raises(Died):
            bindings.bind("x", "q", "key", incarnation=life.incarnation)
    assert keys(bindings) == []
    return life


@pytest.mark.parametrize("names_life", [False, True])
def test_a_binding_that_was_left_unfinished_is_made_by_the_next_process(bindings, unfinished, names_life, database):
    before = bindings.generation("x")

    assert bindings.bind("x", "q", "key", incarnation=unfinished.incarnation if names_life else None)

    assert keys(bindings) == ["key"]
    assert bindings.generation("x") > before
    assert len(documents(database, "bindings")) == 1


def test_a_binding_that_was_left_unfinished_does_not_exist(bindings, unfinished, database):
    assert not bindings.unbind("x", "q", "key")

    bindings.unbind_queue("q")

    assert unfinished is not None
    assert documents(database, "bindings") == []


def test_a_binding_that_a_deletion_missed_is_none_of_the_next_life(bindings, catalogue, created, unfinished):
    catalogue.begin_deletion(None, "q", unfinished.incarnation)
    catalogue.delete(None, "q", incarnation=unfinished.incarnation)
    second = created()
    assert keys(bindings) == []

    assert bindings.bind("x", "q", "key", incarnation=second.incarnation)

    assert keys(bindings) == ["key"]


def test_a_binding_of_an_older_life_does_not_swallow_the_same_of_the_next(bindings, catalogue, created):
    first = created()
    bindings.bind("x", "q", "key", incarnation=first.incarnation)
    catalogue.begin_deletion(None, "q", first.incarnation)
    catalogue.delete(None, "q", incarnation=first.incarnation)
    second = created()
    before = bindings.generation("x")

    assert bindings.bind("x", "q", "key", incarnation=second.incarnation)

    assert bindings.generation("x") > before
    assert keys(bindings) == ["key"]
    assert bindings.unbind_queue("q", incarnation=first.incarnation) == []
    catalogue.begin_deletion(None, "q", second.incarnation)
    assert bindings.unbind_queue("q", incarnation=second.incarnation) == ["x"]


def test_a_process_of_an_older_life_leaves_the_same_binding_of_the_next(bindings, created, end):
    first = created()
    end(first)
    second = created()
    bindings.bind("x", "q", "key", incarnation=second.incarnation)

    with pytest.raises(errors.QueueDoesNotExist):
        bindings.bind("x", "q", "key", incarnation=first.incarnation)

    assert keys(bindings) == ["key"]
    assert not bindings.bind("x", "q", "key", incarnation=second.incarnation)


@pytest.mark.parametrize("step", ["update_many", "delete_many"])
def test_a_stalled_deletion_leaves_the_same_binding_of_the_next_life(
    bindings, catalogue, created, other, meanwhile, step
):
    first = created()
    bindings.bind("x", "q", "key", incarnation=first.incarnation)
    catalogue.begin_deletion(None, "q", first.incarnation)

    def live_again():
        other.unbind_queue("q", incarnation=first.incarnation)
        catalogue.delete(None, "q", incarnation=first.incarnation)
        second = created()
        assert other.bind("x", "q", "key", incarnation=second.incarnation)

    meanwhile(Collection, step, live_again)

    bindings.unbind_queue("q", incarnation=first.incarnation)

    assert keys(bindings) == ["key"]


def test_a_queue_that_was_restored_keeps_its_bindings_until_its_deletion(bindings, catalogue, created):
    first = created()
    bindings.bind("x", "q", "key", incarnation=first.incarnation)
    second, _ = catalogue.assign(None, "q", "b", replaces=first, lease=60)
    catalogue.activate(None, "q", second.incarnation)

    assert not bindings.bind("x", "q", "key", incarnation=second.incarnation)

    catalogue.begin_deletion(None, "q", second.incarnation)
    assert bindings.unbind_queue("q", incarnation=second.incarnation) == ["x"]


def test_a_deletion_removes_the_bindings_that_name_no_life(bindings, catalogue, created, database):
    life = created()
    bindings.bind("x", "q", "key")
    assert not bindings.bind("x", "q", "key", incarnation=life.incarnation)
    catalogue.begin_deletion(None, "q", life.incarnation)

    assert bindings.unbind_queue("q", incarnation=life.incarnation) == ["x"]

    assert documents(database, "bindings") == []


def test_what_each_step_of_a_binding_to_a_life_costs(bindings, catalogue, created, round_trips):
    life = created()

    assert round_trips(lambda: bindings.bind("x", "q", "key", incarnation=life.incarnation)) == 8
    assert round_trips(lambda: bindings.bind("x", "q", "key", incarnation=life.incarnation)) == 2
    catalogue.begin_deletion(None, "q", life.incarnation)
    assert round_trips(lambda: bindings.unbind_queue("q", incarnation=life.incarnation)) == 5
    assert round_trips(lambda: bindings.unbind_queue("q", incarnation=life.incarnation)) == 2
