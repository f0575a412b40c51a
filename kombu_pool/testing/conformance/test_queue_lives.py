"""The lives of queues in the catalogue: each step names the incarnation that it changes, and only that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu_pool import errors
from kombu_pool.model import ACTIVE, CREATING, DELETING, RESERVED, Expiry

if TYPE_CHECKING:
    from kombu_pool.model import Assignment
    from kombu_pool.storage import CatalogueController, ConsumersController, ControlDriver
    from kombu_pool.testing.clock import ManualClock

LEASE = 60.0


@pytest.fixture
def catalogue(control: ControlDriver) -> CatalogueController:
    for pool in ("a", "b"):
        control.pools_controller.create(pool, 1, f"memory://{pool}")
    return control.catalogue_controller


@pytest.fixture
def consumers(control: ControlDriver) -> ConsumersController:
    return control.consumers_controller


def created(catalogue: CatalogueController, queue: str = "q", expiry: Expiry | None = None) -> Assignment:
    """Return the assignment of a new queue that is active."""
    assigned, _ = catalogue.assign(None, queue, "a", lease=LEASE)
    assert catalogue.activate(None, queue, assigned.incarnation, {"a": 1}, expiry)
    return assigned._replace(state=ACTIVE)


def test_an_unassigned_queue_has_no_assignment(catalogue: CatalogueController) -> None:
    assert catalogue.find(None, "q") is None
    assert list(catalogue.deletions()) == []


def test_each_assignment_has_an_incarnation_of_its_own(catalogue: CatalogueController) -> None:
    incarnations = set()
    for queue in ("q", "r"):
        for _ in range(3):
            assigned, is_new = catalogue.assign("p", queue, "a")
            assert is_new
            assert assigned.incarnation
            incarnations.add(assigned.incarnation)
            catalogue.delete("p", queue)

    assert len(incarnations) == 6


def test_an_assignment_is_reserved_or_with_a_lease_it_is_being_created(catalogue: CatalogueController) -> None:
    reserved, _ = catalogue.assign(None, "q", "a")
    creating, _ = catalogue.assign(None, "r", "b", lease=LEASE)

    assert (reserved.pool, reserved.state) == ("a", RESERVED)
    assert (creating.pool, creating.state) == ("b", CREATING)
    assert catalogue.find(None, "q") == reserved
    assert catalogue.find(None, "r") == creating
    assert catalogue.get(None, "r")["pool"] == "b"


def test_an_assignment_stays_unless_it_is_the_one_to_replace(catalogue: CatalogueController) -> None:
    first, _ = catalogue.assign(None, "q", "a")

    assert catalogue.assign(None, "q", "b") == (first, False)
    another = first._replace(incarnation="another")
    assert catalogue.assign(None, "q", "b", replaces=another) == (first, False)
    assert catalogue.assign(None, "q", "b", replaces=first._replace(state=CREATING)) == (first, False)
    second, is_new = catalogue.assign(None, "q", "b", replaces=first, lease=LEASE)

    assert is_new
    assert (second.pool, second.state) == ("b", CREATING)
    assert second.incarnation != first.incarnation
    assert catalogue.assign(None, "q", "a", replaces=first) == (second, False)
    assert catalogue.find(None, "q") == second


def test_nothing_is_replaced_by_an_assignment_to_a_pool_that_does_not_exist(catalogue: CatalogueController) -> None:
    first, _ = catalogue.assign(None, "q", "a")

    with pytest.raises(errors.PoolDoesNotExist):
        catalogue.assign(None, "q", "nowhere", replaces=first)

    assert catalogue.find(None, "q") == first


def test_every_insertion_and_update_gives_another_incarnation(catalogue: CatalogueController) -> None:
    catalogue.insert(None, "q", "a")
    first = catalogue.find(None, "q")
    catalogue.insert(None, "q", "a")
    second = catalogue.find(None, "q")
    catalogue.update(None, "q", "b")
    third = catalogue.find(None, "q")

    assert first is not None
    assert second is not None
    assert third is not None
    assert len({first.incarnation, second.incarnation, third.incarnation}) == 3
    assert (third.pool, third.state) == ("b", RESERVED)


def test_activation_makes_the_queue_exist(catalogue: CatalogueController, control: ControlDriver) -> None:
    assigned, _ = catalogue.assign(None, "q", "a", lease=LEASE)
    assert not control.queue_controller.exists("q")

    assert catalogue.activate(None, "q", assigned.incarnation, {"a": 1})

    assert catalogue.find(None, "q") == assigned._replace(state=ACTIVE)
    assert control.queue_controller.get("q") == {"a": 1}


def test_only_what_is_being_created_is_activated(catalogue: CatalogueController, control: ControlDriver) -> None:
    assert not catalogue.activate(None, "q", "absent", {})
    reserved, _ = catalogue.assign(None, "q", "a")
    assert not catalogue.activate(None, "q", reserved.incarnation, {})
    creating, _ = catalogue.assign(None, "q", "a", replaces=reserved, lease=LEASE)
    assert not catalogue.activate(None, "q", reserved.incarnation, {})
    assert not control.queue_controller.exists("q")

    assert catalogue.activate(None, "q", creating.incarnation, {})

    assert not catalogue.activate(None, "q", creating.incarnation, {"other": 1})
    assert catalogue.begin_deletion(None, "q", creating.incarnation)
    assert not catalogue.activate(None, "q", creating.incarnation, {})
    assert not control.queue_controller.exists("q")


def test_a_queue_that_is_assigned_again_keeps_its_record(
    catalogue: CatalogueController, control: ControlDriver
) -> None:
    first = created(catalogue)
    second, _ = catalogue.assign(None, "q", "b", replaces=first, lease=LEASE)
    assert control.queue_controller.get("q") == {"a": 1}

    assert catalogue.activate(None, "q", second.incarnation, {"a": 2})

    assert control.queue_controller.get("q") == {"a": 1}


def test_a_deletion_begins_with_the_record_and_ends_with_the_assignment(
    catalogue: CatalogueController, control: ControlDriver
) -> None:
    assigned = created(catalogue)

    assert catalogue.begin_deletion(None, "q", assigned.incarnation)

    deleting = assigned._replace(state=DELETING)
    assert catalogue.find(None, "q") == deleting
    assert list(catalogue.deletions()) == [(None, "q", deleting)]
    assert not control.queue_controller.exists("q")
    assert not catalogue.exists(None, "q")
    assert list(catalogue.list(None)) == []
    with pytest.raises(errors.QueueNotMapped):
        catalogue.get(None, "q")
    assert catalogue.begin_deletion(None, "q", assigned.incarnation)

    catalogue.delete(None, "q", incarnation=assigned.incarnation)
    catalogue.delete(None, "q", incarnation=assigned.incarnation)

    assert catalogue.find(None, "q") is None
    assert list(catalogue.deletions()) == []


def test_a_deletion_takes_its_own_incarnation_only(catalogue: CatalogueController, control: ControlDriver) -> None:
    first = created(catalogue)
    catalogue.begin_deletion(None, "q", first.incarnation)
    catalogue.delete(None, "q", incarnation=first.incarnation)
    assert not catalogue.begin_deletion(None, "q", first.incarnation)
    second = created(catalogue)

    assert not catalogue.begin_deletion(None, "q", first.incarnation)
    catalogue.delete(None, "q", incarnation=first.incarnation)
    catalogue.delete(None, "q", incarnation=second.incarnation)

    assert catalogue.find(None, "q") == second
    assert control.queue_controller.exists("q")


def test_what_is_being_deleted_is_not_assigned_again(catalogue: CatalogueController) -> None:
    assigned = created(catalogue)
    catalogue.begin_deletion(None, "q", assigned.incarnation)

    deleting = assigned._replace(state=DELETING)
    for replaces in (assigned, deleting):
        assert catalogue.assign(None, "q", "b", replaces=replaces, lease=LEASE) == (deleting, False)
    with pytest.raises(errors.QueueNotMapped):
        catalogue.update(None, "q", "b")


def test_the_pool_of_a_queue_that_is_being_deleted_is_in_use(
    catalogue: CatalogueController, control: ControlDriver
) -> None:
    assigned = created(catalogue)
    catalogue.begin_deletion(None, "q", assigned.incarnation)

    with pytest.raises(errors.PoolInUse):
        control.pools_controller.delete("a")

    catalogue.delete(None, "q", incarnation=assigned.incarnation)
    control.pools_controller.delete("a")


def test_deletions_are_listed_for_every_project_up_to_the_limit(catalogue: CatalogueController) -> None:
    for project in (None, "p"):
        for queue in ("q", "r"):
            assigned, _ = catalogue.assign(project, queue, "a")
            catalogue.begin_deletion(project, queue, assigned.incarnation)
    catalogue.assign("p", "other", "a")

    found = {(project, queue) for project, queue, _ in catalogue.deletions()}

    assert found == {(None, "q"), (None, "r"), ("p", "q"), ("p", "r")}
    assert len(catalogue.deletions(limit=3)) == 3


# Lifetimes and holders.


def test_a_queue_that_is_never_created_expires_after_its_lease(
    catalogue: CatalogueController, consumers: ConsumersController, clock: ManualClock
) -> None:
    assigned, _ = catalogue.assign(None, "q", "a", lease=LEASE)
    catalogue.assign(None, "reserved", "a")
    clock.advance(LEASE - 1)
    assert not consumers.expire("q")
    clock.advance(2)
    assert [tuple(scope) for scope in consumers.expired_queues()] == [(None, "q")]

    assert consumers.expire("q")

    assert catalogue.find(None, "q") == assigned._replace(state=DELETING)
    assert not consumers.expire("q")


def test_a_lease_ends_with_the_activation(
    catalogue: CatalogueController, consumers: ConsumersController, clock: ManualClock
) -> None:
    created(catalogue)
    clock.advance(10**6)

    assert list(consumers.expired_queues()) == []
    assert not consumers.expire("q")


def test_the_seconds_may_count_from_the_activation(
    catalogue: CatalogueController, consumers: ConsumersController, clock: ManualClock
) -> None:
    assigned = created(catalogue, expiry=Expiry(100, from_now=True))
    clock.advance(99)
    assert not consumers.expire("q")
    clock.advance(2)

    assert consumers.expire("q")

    assert list(catalogue.deletions()) == [(None, "q", assigned._replace(state=DELETING))]


def test_a_lifetime_may_wait_for_the_first_holder(
    catalogue: CatalogueController, consumers: ConsumersController, clock: ManualClock
) -> None:
    created(catalogue, expiry=Expiry(0))
    clock.advance(10**6)
    assert not consumers.expire("q")
    consumers.add_holder("q", "one", 60)
    assert not consumers.expire("q")
    consumers.remove_holders(["one"])

    assert consumers.expire("q")


def test_the_first_holder_keeps_the_queue_and_does_not_consume(
    catalogue: CatalogueController, consumers: ConsumersController, clock: ManualClock
) -> None:
    created(catalogue, expiry=Expiry(0, holder="owner", holder_ttl=60))
    assert consumers.count("q") == 0
    clock.advance(59)
    assert not consumers.expire("q")
    clock.advance(2)

    assert consumers.expire("q")


def test_another_assignment_keeps_the_lifetime(
    catalogue: CatalogueController, consumers: ConsumersController, clock: ManualClock
) -> None:
    first = created(catalogue, expiry=Expiry(1000, from_now=True))
    second, _ = catalogue.assign(None, "q", "b", replaces=first, lease=LEASE)
    clock.advance(LEASE + 1)
    assert not consumers.expire("q")
    catalogue.activate(None, "q", second.incarnation)
    clock.advance(900)
    assert not consumers.expire("q")
    clock.advance(100)

    assert consumers.expire("q")


def test_a_held_queue_does_not_expire_though_it_was_listed(
    catalogue: CatalogueController, consumers: ConsumersController, clock: ManualClock
) -> None:
    assigned = created(catalogue, expiry=Expiry(10, from_now=True))
    clock.advance(11)
    assert [tuple(scope) for scope in consumers.expired_queues()] == [(None, "q")]
    assert consumers.add_holder("q", "one", 60)

    assert not consumers.expire("q")

    assert catalogue.find(None, "q") == assigned
    assert consumers.count("q") == 1


def test_a_deletion_ends_the_lifetime_and_the_holders(
    catalogue: CatalogueController, consumers: ConsumersController, clock: ManualClock
) -> None:
    assigned = created(catalogue, expiry=Expiry(10, from_now=True))
    consumers.add_holder("q", "one", 60)
    consumers.add_holder("other", "one", 60)

    catalogue.begin_deletion(None, "q", assigned.incarnation)

    assert (consumers.count("q"), consumers.count("other")) == (0, 1)
    clock.advance(1000)
    assert list(consumers.expired_queues()) == []
    consumers.renew(["one"], 60)
    assert (consumers.count("q"), consumers.count("other")) == (0, 1)


def test_a_holder_of_another_life_holds_nothing(catalogue: CatalogueController, consumers: ConsumersController) -> None:
    assert not consumers.add_holder("q", "one", 60, incarnation="absent")
    first = created(catalogue)
    assert consumers.add_holder("q", "two", 60, incarnation=first.incarnation)
    catalogue.begin_deletion(None, "q", first.incarnation)
    assert not consumers.add_holder("q", "three", 60, incarnation=first.incarnation)
    catalogue.delete(None, "q", incarnation=first.incarnation)
    second = created(catalogue)

    assert not consumers.add_holder("q", "four", 60, incarnation=first.incarnation)
    assert consumers.add_holder("q", "five", 60, incarnation=second.incarnation)

    assert consumers.count("q") == 1


def test_an_unused_queue_may_be_deleted_before_its_lifetime_is_over(
    catalogue: CatalogueController, consumers: ConsumersController, clock: ManualClock
) -> None:
    assigned = created(catalogue, expiry=Expiry(100, from_now=True, holder="owner", holder_ttl=1000))
    consumers.add_holder("q", "one", 60)
    consumers.add_holder("q", "dead", 5)
    clock.advance(10)
    assert not consumers.expire("q", unused=assigned.incarnation)
    consumers.remove_holders(["one"])
    assert not consumers.expire("q")
    assert not consumers.expire("q", unused="another")

    assert consumers.expire("q", unused=assigned.incarnation)

    assert catalogue.find(None, "q") == assigned._replace(state=DELETING)


def test_so_may_a_queue_without_a_lifetime(catalogue: CatalogueController, consumers: ConsumersController) -> None:
    assert not consumers.expire("q", unused="absent")
    assigned = created(catalogue)
    consumers.add_holder("q", "one", 60)
    assert not consumers.expire("q", unused=assigned.incarnation)
    consumers.remove_holders(["one"])

    assert consumers.expire("q", unused=assigned.incarnation)
    assert not consumers.expire("q", unused=assigned.incarnation)


def test_a_lifetime_without_an_assignment_just_ends(consumers: ConsumersController, clock: ManualClock) -> None:
    consumers.set_lifetime("q", 10, from_now=True)
    clock.advance(11)

    assert consumers.expire("q")

    assert list(consumers.expired_queues()) == []
    assert not consumers.expire("q")
