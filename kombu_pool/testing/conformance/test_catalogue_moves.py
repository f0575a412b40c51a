"""The move of a queue in the catalogue: each change replaces the assignment that was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from kombu_pool import errors
from kombu_pool.model import ACTIVE, DELETING, EXPIRED, MOVING, Assignment, Expiry
from kombu_pool.moves import MOVED, PLANNED, Move, Tombstone

if TYPE_CHECKING:
    from kombu_pool.storage import CatalogueController, ControlDriver
    from kombu_pool.testing.clock import ManualClock

MOVE = Move(
    id="1", source="a", sealed="sealed:1", target="b", opened="2", copies=True, phase=PLANNED, holder="h", started=1.5
)


@pytest.fixture
def catalogue(control: ControlDriver) -> CatalogueController:
    for pool in ("a", "b"):
        control.pools_controller.create(pool, 1, f"memory://{pool}")
    found = Assignment("a", "1", ACTIVE)
    try:
        control.catalogue_controller.replace("p", "none", found, found)
    except errors.NotPermitted as error:
        pytest.skip(str(error))
    return control.catalogue_controller


def created(catalogue: CatalogueController, queue: str = "q", expiry: Expiry | None = None) -> Assignment:
    """Return the assignment of a new queue that is active."""
    assigned, _ = catalogue.assign("p", queue, "a", lease=60.0)
    assert catalogue.activate("p", queue, assigned.incarnation, {"a": 1}, expiry)
    return assigned._replace(state=ACTIVE)


def planned(catalogue: CatalogueController, queue: str = "q") -> Assignment:
    """Return the assignment of a new queue with a move."""
    found = created(catalogue, queue)
    changed = found._replace(move=MOVE)
    assert catalogue.replace("p", queue, found, changed)
    return changed


def test_an_assignment_is_replaced_if_it_is_the_one_that_was_found(
    control: ControlDriver, catalogue: CatalogueController
) -> None:
    found = created(catalogue)
    changed = found._replace(move=MOVE)

    assert catalogue.replace("p", "q", found, changed)
    assert not catalogue.replace("p", "q", found, changed)
    assert not catalogue.replace("p", "absent", found, changed)

    assert catalogue.find("p", "q") == changed
    assert catalogue.find_many([("p", "q"), ("p", "none")]) == [changed, None]
    assert control.look_up("q", "p").assignment == changed
    assert control.queue_controller.get("q", "p") == {"a": 1}
    sealed = changed._replace(state=MOVING)
    opened = Assignment("b", "2", ACTIVE, MOVE)
    for before, after in ((changed, sealed), (sealed, opened), (opened, opened._replace(move=None))):
        assert catalogue.replace("p", "q", before, after)
        assert catalogue.find("p", "q") == after
    assert catalogue.get("p", "q") == {"queue": "q", "project": "p", "pool": "b"}
    assert control.queue_controller.get("q", "p") == {"a": 1}


def test_each_part_of_the_assignment_counts(catalogue: CatalogueController) -> None:
    changed = planned(catalogue)
    others = [
        changed._replace(pool="b"),
        changed._replace(incarnation="other"),
        changed._replace(state=MOVING),
        changed._replace(move=None),
        changed._replace(move=replace(MOVE, beats=1)),
    ]

    for other in others:
        assert not catalogue.replace("p", "q", other, changed._replace(state=MOVING))

    assert catalogue.find("p", "q") == changed


def test_moves_lists_the_queues_with_one(catalogue: CatalogueController) -> None:
    created(catalogue, "r")
    assert list(catalogue.moves()) == []

    changed = planned(catalogue)

    assert list(catalogue.moves()) == [("p", "q", changed)]
    assert catalogue.replace("p", "q", changed, changed._replace(move=None))
    assert list(catalogue.moves()) == []


def test_source_and_target_are_in_use_until_the_move_is_over(
    control: ControlDriver, catalogue: CatalogueController
) -> None:
    changed = planned(catalogue)
    opened = Assignment("b", "2", ACTIVE, MOVE)
    pools = control.pools_controller

    for pool in ("a", "b"):
        with pytest.raises(errors.PoolInUse):
            pools.delete(pool)
    assert catalogue.replace("p", "q", changed, opened)
    with pytest.raises(errors.PoolInUse):
        pools.delete("a")
    over = replace(MOVE, phase=MOVED, tombstones=(Tombstone("a", "sealed:1", 5.0),))
    assert catalogue.replace("p", "q", opened, opened._replace(move=over))

    found = catalogue.find("p", "q")
    assert found is not None
    assert found.move == over
    pools.delete("a")
    with pytest.raises(errors.PoolInUse):
        pools.delete("b")


def test_a_move_to_a_pool_that_does_not_exist_is_refused(catalogue: CatalogueController) -> None:
    found = created(catalogue)
    move = replace(MOVE, target="absent")

    with pytest.raises(errors.PoolDoesNotExist):
        catalogue.replace("p", "q", found, found._replace(move=move))

    assert catalogue.find("p", "q") == found


def test_a_deletion_keeps_the_move_so_that_both_pools_are_told(
    control: ControlDriver, catalogue: CatalogueController
) -> None:
    changed = planned(catalogue)

    assert catalogue.begin_deletion("p", "q", changed.incarnation)

    deleting = changed._replace(state=DELETING)
    assert list(catalogue.deletions()) == [("p", "q", deleting)]
    assert not catalogue.replace("p", "q", changed, changed._replace(state=MOVING))
    for pool in ("a", "b"):
        with pytest.raises(errors.PoolInUse):
            control.pools_controller.delete(pool)
    catalogue.delete("p", "q", incarnation=changed.incarnation)
    assert catalogue.find("p", "q") is None
    assert list(catalogue.moves()) == []
    control.pools_controller.delete("a")
    control.pools_controller.delete("b")


def test_another_assignment_has_no_move(control: ControlDriver, catalogue: CatalogueController) -> None:
    changed = planned(catalogue)

    assigned, is_new = catalogue.assign("p", "q", "a", replaces=changed, lease=60.0)

    assert is_new
    assert assigned.move is None
    assert catalogue.find("p", "q") == assigned
    assert list(catalogue.moves()) == []
    control.pools_controller.delete("b")


def test_an_assignment_is_not_assigned_again_if_its_move_changed(catalogue: CatalogueController) -> None:
    changed = planned(catalogue)

    present, is_new = catalogue.assign("p", "q", "a", replaces=changed._replace(move=None))

    assert not is_new
    assert present == changed


def test_an_expired_queue_is_not_moved(catalogue: CatalogueController, clock: ManualClock) -> None:
    found = created(catalogue, expiry=Expiry(5.0, from_now=True))
    clock.advance(6)

    assert not catalogue.replace("p", "q", found, found._replace(move=MOVE))

    expired = catalogue.find("p", "q")
    assert expired is not None
    assert expired.state == EXPIRED
