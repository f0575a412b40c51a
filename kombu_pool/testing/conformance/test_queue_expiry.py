"""A queue that was unused for its lifetime exists for no caller, also before any process has deleted it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from kombu_pool import errors
from kombu_pool.model import ACTIVE, DELETING, EXPIRED, Expiry

if TYPE_CHECKING:
    from kombu_pool.model import Assignment
    from kombu_pool.storage import CatalogueController, ConsumersController, ControlDriver
    from kombu_pool.testing.clock import ManualClock

LIFETIME = 10.0


@pytest.fixture
def catalogue(control: ControlDriver) -> CatalogueController:
    control.pools_controller.create("a", 1, "memory://a")
    return control.catalogue_controller


@pytest.fixture
def consumers(control: ControlDriver) -> ConsumersController:
    return control.consumers_controller


@pytest.fixture
def assigned(catalogue: CatalogueController) -> Assignment:
    """The assignment of a queue whose lifetime counts from now."""
    return created(catalogue, Expiry(LIFETIME, from_now=True))


def created(catalogue: CatalogueController, expiry: Expiry | None) -> Assignment:
    assignment, _ = catalogue.assign(None, "q", "a", lease=60)
    assert catalogue.activate(None, "q", assignment.incarnation, {"a": 1}, expiry)
    return assignment._replace(state=ACTIVE)


def test_the_catalogue_tells_until_when_a_queue_does_not_expire(
    catalogue: CatalogueController, assigned: Assignment, clock: ManualClock
) -> None:
    found, expires = catalogue.find_until(None, "q")

    assert found == assigned
    assert expires == pytest.approx(clock.time() + LIFETIME, abs=1)


def test_one_look_tells_the_assignment_the_expiry_and_the_metadata(
    control: ControlDriver, catalogue: CatalogueController, assigned: Assignment, clock: ManualClock
) -> None:
    found = control.look_up("q")
    assert (found.assignment, found.metadata) == (assigned, {"a": 1})
    assert found.expires == pytest.approx(clock.time() + LIFETIME, abs=1)
    assert control.look_up("other") == (None, math.inf, None)

    clock.advance(LIFETIME + 1)
    expired = control.look_up("q")
    assert (expired.assignment, expired.metadata) == (assigned._replace(state=EXPIRED), None)

    catalogue.begin_deletion(None, "q", assigned.incarnation)
    deleted = control.look_up("q")
    assert (deleted.assignment, deleted.metadata) == (assigned._replace(state=DELETING), None)


def test_one_look_tells_of_a_queue_without_a_record_or_an_assignment(
    control: ControlDriver, catalogue: CatalogueController
) -> None:
    control.queue_controller.create("recorded", {"a": 1})
    reserved, _ = catalogue.assign(None, "assigned", "a")

    assert control.look_up("recorded") == (None, math.inf, {"a": 1})
    assert control.look_up("assigned") == (reserved, math.inf, None)


@pytest.mark.parametrize("expiry", [None, Expiry(LIFETIME)], ids=["no lifetime", "a lifetime that does not count yet"])
def test_some_queues_expire_at_no_known_time(catalogue: CatalogueController, expiry: Expiry | None) -> None:
    assigned = created(catalogue, expiry)

    assert catalogue.find_until(None, "q") == (assigned, math.inf)
    assert catalogue.find_until(None, "other") == (None, math.inf)


def test_a_holder_postpones_the_expiry(
    catalogue: CatalogueController, consumers: ConsumersController, assigned: Assignment, clock: ManualClock
) -> None:
    consumers.add_holder("q", "one", 60, incarnation=assigned.incarnation)
    clock.advance(LIFETIME + 1)

    # Before this time the catalogue is not asked again, so it may be early, but never late.
    found, expires = catalogue.find_until(None, "q")
    assert found == assigned
    assert clock.time() < expires <= clock.time() + 60 - 1 + 1

    clock.advance(59)
    assert catalogue.find(None, "q") == assigned._replace(state=EXPIRED)


def test_an_expired_queue_is_not_found(
    control: ControlDriver, catalogue: CatalogueController, assigned: Assignment, clock: ManualClock
) -> None:
    queues = control.queue_controller
    assert catalogue.exists(None, "q")
    assert queues.exists("q")
    clock.advance(LIFETIME + 1)

    assert catalogue.find(None, "q") == assigned._replace(state=EXPIRED)
    assert not catalogue.exists(None, "q")
    assert not queues.exists("q")
    with pytest.raises(errors.QueueNotMapped):
        catalogue.get(None, "q")
    with pytest.raises(errors.QueueDoesNotExist):
        queues.get("q")
    with pytest.raises(errors.QueueDoesNotExist):
        queues.get_metadata("q")
    with pytest.raises(errors.QueueDoesNotExist):
        queues.set_metadata("q", {})


def test_an_expired_queue_takes_no_consumer_and_no_touch(
    catalogue: CatalogueController, consumers: ConsumersController, assigned: Assignment, clock: ManualClock
) -> None:
    assert consumers.touch("q")
    assert consumers.touch("other")
    clock.advance(LIFETIME + 1)

    assert not consumers.touch("q")
    assert not consumers.add_holder("q", "one", 60, incarnation=assigned.incarnation)

    assert consumers.count("q") == 0
    assert consumers.expire("q")


def test_an_expired_queue_is_replaced_only_after_its_deletion(
    catalogue: CatalogueController, consumers: ConsumersController, assigned: Assignment, clock: ManualClock
) -> None:
    clock.advance(LIFETIME + 1)
    expired = assigned._replace(state=EXPIRED)
    assert not catalogue.assign(None, "q", "a", replaces=expired, lease=60)[1]

    assert consumers.expire("q")

    assert catalogue.find(None, "q") == assigned._replace(state=DELETING)
    catalogue.delete(None, "q", incarnation=assigned.incarnation)
    second = created(catalogue, None)
    assert catalogue.find_until(None, "q") == (second, math.inf)


def test_a_creation_whose_lease_is_over_is_expired(catalogue: CatalogueController, clock: ManualClock) -> None:
    creating, _ = catalogue.assign(None, "q", "a", lease=60)
    assert catalogue.find_until(None, "q")[0] == creating
    clock.advance(61)

    assert catalogue.find(None, "q") == creating._replace(state=EXPIRED)


def test_renewal_tells_which_holders_hold_nothing_any_more(
    catalogue: CatalogueController, consumers: ConsumersController, assigned: Assignment
) -> None:
    consumers.add_holder("q", "one", 60, incarnation=assigned.incarnation)
    consumers.add_holder("q", "both", 60, incarnation=assigned.incarnation)
    consumers.add_holder("other", "both", 60)
    assert list(consumers.renew(["one", "both"], 60)) == []
    assert list(consumers.renew(["one", "unknown", "both"], 60)) == ["unknown"]
    assert list(consumers.renew([], 60)) == []

    catalogue.begin_deletion(None, "q", assigned.incarnation)

    assert list(consumers.renew(["one", "both"], 60)) == ["one"]
