"""The assignment of queues to pools."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from kombu_pool import drivers, errors

if TYPE_CHECKING:
    from kombu_pool.storage import CatalogueController, ControlDriver
    from kombu_pool.testing.clock import ManualClock


@pytest.fixture
def catalogue(control: ControlDriver) -> CatalogueController:
    for pool in ("a", "b"):
        control.pools_controller.create(pool, 1, f"memory://{pool}")
    return control.catalogue_controller


def test_an_entry_comes_back_as_it_was_made(catalogue: CatalogueController) -> None:
    catalogue.insert("project", "q", "a")

    assert catalogue.get("project", "q") == {"queue": "q", "project": "project", "pool": "a"}
    assert catalogue.exists("project", "q")


def test_the_project_may_be_none(catalogue: CatalogueController) -> None:
    catalogue.insert(None, "q", "a")

    assert catalogue.get(None, "q") == {"queue": "q", "project": None, "pool": "a"}
    assert catalogue.list(None) == [{"queue": "q", "project": None, "pool": "a"}]


def test_an_unassigned_queue_is_not_mapped(catalogue: CatalogueController) -> None:
    assert not catalogue.exists(None, "q")
    with pytest.raises(errors.QueueNotMapped, match="queue q for project p"):
        catalogue.get("p", "q")
    with pytest.raises(errors.QueueNotMapped):
        catalogue.update("p", "q", "a")


def test_inserting_again_assigns_anew(catalogue: CatalogueController) -> None:
    catalogue.insert(None, "q", "a")

    catalogue.insert(None, "q", "b")

    assert [entry["pool"] for entry in catalogue.list(None)] == ["b"]


def test_an_update_assigns_to_another_pool(catalogue: CatalogueController) -> None:
    catalogue.insert(None, "q", "a")

    catalogue.update(None, "q", "b")

    assert catalogue.get(None, "q")["pool"] == "b"


def test_insert_if_absent_leaves_an_assigned_queue_where_it_is(catalogue: CatalogueController) -> None:
    assert catalogue.insert_if_absent(None, "q", "a") == "a"
    assert catalogue.insert_if_absent(None, "q", "b") == "a"
    assert catalogue.get(None, "q")["pool"] == "a"


def test_nothing_is_assigned_to_a_pool_that_does_not_exist(catalogue: CatalogueController) -> None:
    catalogue.insert(None, "assigned", "a")

    with pytest.raises(errors.PoolDoesNotExist) as raised:
        catalogue.insert_if_absent(None, "q", "nowhere")
    assert raised.value.pool == "nowhere"
    with pytest.raises(errors.PoolDoesNotExist):
        catalogue.update(None, "assigned", "nowhere")

    assert not catalogue.exists(None, "q")
    assert catalogue.get(None, "assigned")["pool"] == "a"


def test_insert_takes_a_pool_that_does_not_exist(catalogue: CatalogueController, control: ControlDriver) -> None:
    catalogue.insert(None, "q", "nowhere")
    catalogue.insert("p", "q", "a")
    catalogue.insert("p", "q", "nowhere")

    assert [catalogue.get(project, "q")["pool"] for project in (None, "p")] == ["nowhere", "nowhere"]
    assert catalogue.insert_if_absent(None, "q", "a") == "nowhere"
    catalogue.update("p", "q", "b")
    control.pools_controller.delete("a")
    control.pools_controller.create("nowhere", 1, "memory://nowhere")
    with pytest.raises(errors.PoolInUse, match="1 queue"):
        control.pools_controller.delete("nowhere")


def test_an_update_to_no_pool_changes_nothing(catalogue: CatalogueController) -> None:
    catalogue.insert(None, "q", "a")

    catalogue.update(None, "q")

    assert catalogue.get(None, "q")["pool"] == "a"
    with pytest.raises(errors.QueueNotMapped):
        catalogue.update(None, "absent")


def test_a_pool_that_is_deleted_while_queues_are_assigned_to_it_has_none_or_stays(
    control: ControlDriver, control_uri: str, clock: ManualClock
) -> None:
    other, together = drivers.open_control(control_uri, clock=clock), threading.Barrier(2)

    def assign(queue: str) -> None:
        together.wait(60)
        with suppress(errors.PoolDoesNotExist):
            other.catalogue_controller.insert_if_absent(None, queue, "pool")

    for queue in map(str, range(10)):
        control.pools_controller.create("pool", 1, "memory://pool")
        thread = threading.Thread(target=assign, args=(queue,))
        thread.start()
        together.wait(60)
        with suppress(errors.PoolInUse):
            control.pools_controller.delete("pool")
        thread.join(60)

        assert control.pools_controller.exists("pool") is control.catalogue_controller.exists(None, queue)
        control.catalogue_controller.delete(None, queue)
    other.close()


def test_a_deleted_entry_is_gone(catalogue: CatalogueController) -> None:
    catalogue.insert(None, "q", "a")
    catalogue.insert("project", "q", "a")

    catalogue.delete(None, "q")
    catalogue.delete(None, "q")

    assert not catalogue.exists(None, "q")
    assert catalogue.exists("project", "q")


def test_entries_are_listed_by_queue(catalogue: CatalogueController) -> None:
    for queue in ("b", "a", "B", *(f"q{number:02}" for number in range(20))):
        catalogue.insert("project", queue, "a")
    catalogue.insert(None, "global", "b")

    listed = [entry["queue"] for entry in catalogue.list("project")]

    assert listed[:4] == ["B", "a", "b", "q00"]
    assert len(listed) == 23
    assert [entry["queue"] for entry in catalogue.list(None)] == ["global"]
    assert list(catalogue.list("absent")) == []


def test_drop_all_forgets_every_entry(catalogue: CatalogueController) -> None:
    catalogue.insert(None, "q", "a")
    catalogue.insert("project", "q", "a")

    catalogue.drop_all()

    assert not catalogue.exists(None, "q")
    assert not catalogue.exists("project", "q")


def test_of_racing_declarers_one_wins_and_all_use_its_pool(
    control: ControlDriver, control_uri: str, clock: ManualClock
) -> None:
    for number in range(8):
        control.pools_controller.create(f"pool-{number}", 1, f"memory://{number}")
    barrier = threading.Barrier(8)
    answers: list[tuple[int, str]] = []

    def declare(number: int) -> None:
        driver = drivers.open_control(control_uri, clock=clock)
        barrier.wait(60)
        catalogue = driver.catalogue_controller
        answers.extend((queue, catalogue.insert_if_absent(None, f"q{queue}", f"pool-{number}")) for queue in range(20))
        driver.close()

    threads = [threading.Thread(target=declare, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(answers) == 160
    assert len(set(answers)) == 20


def test_of_racing_processes_one_assigns_and_one_activates(
    control: ControlDriver, control_uri: str, clock: ManualClock
) -> None:
    control.pools_controller.create("a", 1, "memory://a")
    barrier = threading.Barrier(6)
    assigned: list[tuple[str, str, bool]] = []
    activated: list[tuple[str, bool]] = []

    def declare() -> None:
        driver = drivers.open_control(control_uri, clock=clock)
        catalogue = driver.catalogue_controller
        barrier.wait(60)
        for queue in map(str, range(10)):
            present, is_new = catalogue.assign(None, queue, "a", lease=60.0)
            assigned.append((queue, present.incarnation, is_new))
            activated.append((queue, catalogue.activate(None, queue, present.incarnation, {})))
        driver.close()

    threads = [threading.Thread(target=declare) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    assert len({(queue, incarnation) for queue, incarnation, _ in assigned}) == 10
    assert sum(is_new for _, _, is_new in assigned) == 10
    assert sorted(queue for queue, done in activated if done) == sorted(map(str, range(10)))
