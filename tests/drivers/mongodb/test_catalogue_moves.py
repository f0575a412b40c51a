"""A move in the document of its queue: processes that meet between two steps, and the cost."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kombu_pool import errors
from kombu_pool.drivers.mongodb.control.lives import Lives
from kombu_pool.model import ACTIVE, MOVING, Assignment
from kombu_pool.moves import MOVED, PLANNED, Move
from tests.support.mongodb.failures import Died, die

MOVE = Move(
    id="1", source="a", sealed="sealed:1", target="b", opened="2", copies=True, phase=PLANNED, holder="h", started=1.5
)


def test_a_pool_that_is_deleted_while_a_move_to_it_is_stored_has_no_move(
    control, catalogue, created, monkeypatch, meanwhile
):
    found = created()

    def delete_then_store():
        # The deletion counted before the move was stored.
        monkeypatch.setattr("kombu_pool.drivers.mongodb.control.registry.Registry.require_unused", lambda *_: None)
        control.pools_controller.delete("b")

    meanwhile(Lives, "find_missing_pool", delete_then_store)

    with pytest.raises(errors.PoolDoesNotExist):
        catalogue.replace(None, "q", found, found._replace(move=MOVE))

    assert catalogue.find(None, "q") == found
    assert list(catalogue.moves()) == []


def test_a_move_that_is_stored_in_time_keeps_its_pool(control, catalogue, created, meanwhile):
    found = created()
    refused = []

    def delete():
        try:
            control.pools_controller.delete("b")
        except errors.PoolInUse as error:
            refused.append(error)

    meanwhile(Lives, "find_missing_pool", delete)

    assert catalogue.replace(None, "q", found, found._replace(move=MOVE))

    assert len(refused) == 1
    assert control.pools_controller.exists("b")


def test_a_move_whose_process_died_before_it_read_the_pool_is_verified_by_a_reader(
    control, catalogue, created, monkeypatch
):
    found = created()
    changed = found._replace(move=MOVE)
    with monkeypatch.context() as patch:
        patch.setattr(Lives, "find_missing_pool", die)
        with pytest.raises(Died):
            catalogue.replace(None, "q", found, changed)

    for pool in ("a", "b"):
        with pytest.raises(errors.PoolInUse):
            control.pools_controller.delete(pool)
    assert [one for _, _, one in catalogue.moves()] == [changed]
    assert catalogue.find(None, "q") == changed
    assert catalogue.replace(None, "q", changed, changed._replace(state=MOVING))


def test_a_move_that_another_process_put_back_did_not_take_place(control, catalogue, created, meanwhile):
    found = created()

    def put_back():
        catalogue._tables["control_queues"].update_one({"q": "q"}, {"$unset": {"v": "", "y": "", "u": "", "b": ""}})

    meanwhile(Lives, "mark_verified", put_back)

    assert not catalogue.replace(None, "q", found, found._replace(move=MOVE))

    assert catalogue.find(None, "q") == found


def test_an_assignment_that_is_not_verified_yet_can_be_moved(catalogue):
    found, _ = catalogue.assign(None, "q", "a")

    assert catalogue.replace(None, "q", found, found._replace(move=MOVE))

    assert catalogue.find(None, "q") == found._replace(move=MOVE)


def test_the_end_of_a_move_frees_the_source_at_once(control, catalogue, created):
    found = created()
    changed = found._replace(move=MOVE)
    assert catalogue.replace(None, "q", found, changed)
    opened = Assignment("b", "2", ACTIVE, replace(MOVE, phase=MOVED))

    assert catalogue.replace(None, "q", changed, opened)

    control.pools_controller.delete("a")
    assert [one for _, _, one in catalogue.moves()] == [opened]


@pytest.mark.parametrize("name", ["find", "look_up"])
def test_a_move_costs_those_that_look_the_queue_up_no_command(control, catalogue, created, round_trips, name):
    def look_up():
        return control.look_up("q") if name == "look_up" else catalogue.find(None, "q")

    found = created()
    look_up()
    without = min(round_trips(look_up) for _ in range(3))
    assert catalogue.replace(None, "q", found, found._replace(move=MOVE))

    assert min(round_trips(look_up) for _ in range(3)) == without == 1


def test_the_moves_are_found_without_a_look_at_the_other_queues(catalogue, created, profiled):
    for number in range(50):
        created(f"other {number}")
    found = created()

    def examined():
        return sum(one.get("docsExamined", 0) + one.get("keysExamined", 0) for one in profiled(catalogue.moves))

    assert examined() == 0
    assert catalogue.replace(None, "q", found, found._replace(move=MOVE))
    assert examined() <= 2


def test_a_pool_in_use_is_found_without_a_look_at_all_queues(control, catalogue, created, profiled):
    for number in range(50):
        created(f"other {number}")
    found = created()
    assert catalogue.replace(None, "q", found, found._replace(move=MOVE))

    def delete():
        with pytest.raises(errors.PoolInUse):
            control.pools_controller.delete("b")

    (count,) = (one for one in profiled(delete) if "control_queues" in one["ns"])

    assert count["docsExamined"] + count["keysExamined"] <= 5
