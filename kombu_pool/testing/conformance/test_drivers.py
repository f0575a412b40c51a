"""Drivers: their capabilities, their health, and several of them over one store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool import drivers
from kombu_pool.model import Capabilities
from kombu_pool.testing.handles import QueueHandle

if TYPE_CHECKING:
    from kombu_pool.storage import ControlDriver, DataDriver
    from kombu_pool.testing.backend import Backend


def test_a_store_that_answers_is_alive(driver: DataDriver) -> None:
    assert driver.is_alive() is True


def test_a_store_that_answers_is_healthy(driver: DataDriver) -> None:
    assert driver.health()["storage_reachable"] is True


def test_a_driver_names_what_its_store_can_do(driver: DataDriver) -> None:
    assert {Capabilities.FIFO, Capabilities.CLAIMS} <= set(driver.capabilities)


def test_a_driver_can_do_what_its_scheme_promises(leaf: Backend) -> None:
    assert leaf.driver.capabilities == drivers.capabilities_of(leaf.uri)


def test_two_drivers_share_their_store(backend: Backend, queue: QueueHandle) -> None:
    queue.post("a")
    other = QueueHandle(backend.another(), queue.name, None)

    held = other.claim()

    assert queue.claim() == (None, [])
    assert queue.claimed_by(held) == ["a"]


def test_closing_one_driver_leaves_the_store_to_others(backend: Backend, queue: QueueHandle) -> None:
    other = backend.another()
    QueueHandle(other, queue.name, None).post("a")

    other.close()

    assert queue.free() == ["a"]


def test_closing_is_idempotent(backend: Backend) -> None:
    driver = backend.another()

    driver.close()
    driver.close()


def test_a_control_store_is_shared_and_closed_likewise(control: ControlDriver, control_uri: str) -> None:
    other = drivers.open_control(control_uri)
    other.queue_controller.create("q")

    other.close()
    other.close()

    assert control.queue_controller.exists("q")


def test_a_control_store_tells_the_uri_that_opens_it(control: ControlDriver) -> None:
    other = drivers.open_control(control.uri)
    other.queue_controller.create("q")
    other.close()

    assert control.queue_controller.exists("q")


def test_the_planes_of_one_store_keep_apart(both_planes: Backend) -> None:
    leaf = both_planes
    control = drivers.open_control(leaf.uri, clock=leaf.clock)
    control.queue_controller.create("registered", {"x": 1})
    leaf.driver.queue_controller.create("stored")

    assert not leaf.driver.queue_controller.exists("registered")
    assert not control.queue_controller.exists("stored")
    control.queue_controller.delete("stored")
    assert leaf.driver.queue_controller.exists("stored")
    control.close()


def test_gc_of_an_empty_store_gives_nothing_back(driver: DataDriver) -> None:
    assert driver.gc() == 0


def test_gc_gives_back_the_rest_of_deleted_queues(leaf: Backend) -> None:
    queue = QueueHandle(leaf.driver, "queue", None)
    queue.create()
    queue.post(*range(100))
    queue.drop()

    while leaf.driver.gc():
        pass

    queue.create()
    assert queue.stats()["total"] == 0
