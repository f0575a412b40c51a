"""The life of a queue in one document: processes that meet between two steps, that stall, and that die."""

from __future__ import annotations

import pytest
from pymongo.collection import Collection

from kombu_pool import errors
from kombu_pool.drivers.mongodb.control.lives import Lives
from kombu_pool.model import DELETING, Expiry
from tests.support.mongodb.documents import documents
from tests.support.mongodb.failures import Died, die

# Two lives.


def test_a_stalled_deletion_leaves_the_holders_of_the_next_life(consumers, catalogue, created, meanwhile):
    first = created()
    consumers.add_holder("q", "old", 60, incarnation=first.incarnation)

    def live_again():
        catalogue.begin_deletion(None, "q", first.incarnation)
        catalogue.delete(None, "q", incarnation=first.incarnation)
        second = created(expiry=Expiry(0, holder="owner", holder_ttl=60))
        assert consumers.add_holder("q", "new", 60, incarnation=second.incarnation)

    meanwhile(Lives, "remove_holders", live_again)

    assert catalogue.begin_deletion(None, "q", first.incarnation)

    assert consumers.count("q") == 1
    assert not consumers.expire("q")


def test_a_deletion_that_died_leaves_no_holder_to_the_next_life(consumers, catalogue, created, monkeypatch, database):
    first = created()
    consumers.add_holder("q", "old", 60, incarnation=first.incarnation)
    with monkeypatch.context() as patch:
        patch.setattr(Lives, "remove_holders", die)
        with pytest.raises(Died):
            catalogue.begin_deletion(None, "q", first.incarnation)

    catalogue.delete(None, "q", incarnation=first.incarnation)
    created()

    assert consumers.count("q") == 0
    assert documents(database, "holders") == []


def test_a_deletion_removes_the_holders_of_a_restored_queue(consumers, catalogue, created, database):
    first = created()
    consumers.add_holder("q", "one", 60, incarnation=first.incarnation)
    second, _ = catalogue.assign(None, "q", "b", replaces=first, lease=60)
    catalogue.activate(None, "q", second.incarnation)

    catalogue.begin_deletion(None, "q", second.incarnation)

    assert documents(database, "holders") == []


def test_the_end_of_a_holder_does_not_count_in_the_next_life(consumers, catalogue, created, meanwhile, clock):
    first = created(expiry=Expiry(0))
    consumers.add_holder("q", "one", 60, incarnation=first.incarnation)

    def live_again():
        catalogue.begin_deletion(None, "q", first.incarnation)
        catalogue.delete(None, "q", incarnation=first.incarnation)
        created(expiry=Expiry(0))

    meanwhile(Collection, "bulk_write", live_again)

    consumers.remove_holders(["one"])

    clock.advance(1)
    assert not consumers.expire("q")
    assert consumers.expired_queues() == []


def test_a_removed_holder_counts_after_the_queue_was_restored(consumers, catalogue, created):
    first = created(expiry=Expiry(0))
    consumers.add_holder("q", "one", 60, incarnation=first.incarnation)
    second, _ = catalogue.assign(None, "q", "b", replaces=first, lease=60)
    catalogue.activate(None, "q", second.incarnation)

    consumers.remove_holders(["one"])

    assert consumers.expire("q")


def test_nothing_is_left_of_a_deleted_queue(control, catalogue, consumers, created, database):
    assigned = created(expiry=Expiry(0, holder="owner", holder_ttl=60))
    consumers.add_holder("q", "one", 60, incarnation=assigned.incarnation)

    catalogue.begin_deletion(None, "q", assigned.incarnation)
    catalogue.delete(None, "q", incarnation=assigned.incarnation)
    consumers.remove_holders(["one", "owner"])
    consumers.touch("q")
    control.queue_controller.delete("q")

    assert documents(database) == []
    assert documents(database, "holders") == []


# The parts of the document.


def test_each_part_may_go_before_the_others(control, catalogue, consumers, created, database, clock):
    for last in ("record", "assignment"):
        created(expiry=Expiry(100, from_now=True))
        ends = {
            "record": lambda: control.queue_controller.delete("q"),
            "assignment": lambda: catalogue.delete(None, "q"),
        }
        for part in [*(part for part in ends if part != last), last]:
            assert len(documents(database)) == 1
            ends[part]()
        assert len(documents(database)) == 1
        clock.advance(101)
        assert consumers.expire("q")

        assert documents(database) == []


def test_dropping_all_assignments_leaves_records_and_lifetimes(control, catalogue, consumers, created, database, clock):
    created("recorded")
    consumers.set_lifetime("living", 10, from_now=True)
    catalogue.assign(None, "living", "a")
    catalogue.assign(None, "assigned", "a")

    catalogue.drop_all()

    assert catalogue.list(None) == []
    assert sorted(found["q"] for found in documents(database)) == ["living", "recorded"]
    assert control.queue_controller.exists("recorded")
    clock.advance(11)
    assert consumers.expired_queues() == [(None, "living")]


def test_a_queue_that_is_only_assigned_is_no_record(control, catalogue, created):
    created("recorded")
    catalogue.assign(None, "assigned", "a")

    assert [queue["name"] for queue in next(control.queue_controller.list())] == ["recorded"]
    assert control.queue_controller.calculate_resource_count() == 1
    with pytest.raises(errors.QueueDoesNotExist):
        control.queue_controller.set_metadata("assigned", {})
    assert control.queue_controller.create("assigned", {"a": 1})
    assert catalogue.exists(None, "assigned")


# Assignments to a pool that is gone.


def test_an_assignment_to_no_pool_leaves_nothing(catalogue, database):
    with pytest.raises(errors.PoolDoesNotExist):
        catalogue.assign(None, "q", "nowhere", lease=60)

    assert documents(database) == []


def test_an_assignment_to_no_pool_leaves_the_lifetime(catalogue, consumers, clock):
    consumers.set_lifetime("q", 10, from_now=True)
    with pytest.raises(errors.PoolDoesNotExist):
        catalogue.assign(None, "q", "nowhere", lease=60)
    clock.advance(11)

    assert consumers.expired_queues() == [(None, "q")]


def test_an_assignment_to_no_pool_whose_process_died_does_not_expire_what_it_replaced(
    catalogue, consumers, created, clock, monkeypatch
):
    first = created(expiry=Expiry(10, from_now=True))
    clock.advance(11)
    with monkeypatch.context() as patch:
        patch.setattr("kombu_pool.drivers.mongodb.control.registry.Registry.read", die)
        with pytest.raises(Died):
            catalogue.assign(None, "q", "nowhere", replaces=first, lease=60)

    assert consumers.expire("q")

    # The pool to empty is that of the last existing assignment.
    assert catalogue.find(None, "q") == first._replace(state=DELETING)


def test_an_activation_without_success_adds_no_holder(catalogue, consumers, created, database):
    assigned = created()
    owned = Expiry(0, holder="owner", holder_ttl=60)

    assert not catalogue.activate(None, "q", assigned.incarnation, {}, owned)
    second, _ = catalogue.assign(None, "q", "b", replaces=assigned, lease=60)
    assert catalogue.activate(None, "q", second.incarnation, {}, owned)

    assert documents(database, "holders") == []


# The cost.


def test_what_each_step_of_a_life_costs(catalogue, consumers, round_trips, clock):
    steps = {
        "find": lambda: catalogue.find(None, "q"),
        "begin_deletion": lambda: catalogue.begin_deletion(None, "q", assigned.incarnation),
        "delete": lambda: catalogue.delete(None, "q", incarnation=assigned.incarnation),
        "deletions": catalogue.deletions,
    }
    assert round_trips(steps["find"]) == 1
    answers = []
    assert round_trips(lambda: answers.append(catalogue.assign(None, "q", "a", lease=60))) == 2
    assigned = answers[0][0]
    assert round_trips(lambda: catalogue.activate(None, "q", assigned.incarnation, {}, Expiry(60, from_now=True))) == 1
    assert round_trips(steps["find"]) == 1
    assert round_trips(lambda: consumers.add_holder("q", "one", 60, incarnation=assigned.incarnation)) == 3
    assert round_trips(lambda: consumers.expire("q")) == 1
    assert round_trips(lambda: consumers.expire("q", unused=assigned.incarnation)) == 1
    assert round_trips(steps["begin_deletion"]) == 2
    assert round_trips(steps["deletions"]) == 1
    assert round_trips(steps["delete"]) == 3


def test_a_search_for_deletions_reads_no_other_queue(catalogue, profiled):
    for number in range(50):
        catalogue.insert(None, f"q{number}", "a")
    assigned, _ = catalogue.assign(None, "gone", "a")
    catalogue.begin_deletion(None, "gone", assigned.incarnation)

    (done,) = profiled(catalogue.deletions)

    assert (done["nreturned"], done["docsExamined"]) == (1, 1)


def test_a_search_for_the_queues_of_a_pool_reads_no_other_queue(catalogue, control, profiled):
    for number in range(50):
        catalogue.insert(None, f"q{number}", "a")

    done = profiled(lambda: control.pools_controller.delete("b"))

    assert max(one.get("docsExamined", 0) for one in done) <= 1
