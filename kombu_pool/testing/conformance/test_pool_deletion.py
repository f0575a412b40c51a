"""The deletion of pools, which have no queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kombu_pool import errors

if TYPE_CHECKING:
    from kombu_pool.storage import ControlDriver, FlavorsController, PoolsController


@pytest.fixture
def pools(control: ControlDriver) -> PoolsController:
    return control.pools_controller


@pytest.fixture
def flavors(control: ControlDriver) -> FlavorsController:
    return control.flavors_controller


def test_a_deleted_pool_is_gone(pools: PoolsController) -> None:
    pools.create("p", 1, "memory://p")

    pools.delete("p")
    pools.delete("p")

    assert not pools.exists("p")
    pools.create("another", 1, "memory://p")


def test_a_deleted_pool_is_removed_until_it_is_created_again(pools: PoolsController) -> None:
    pools.create("p", 1, "memory://p")
    pools.create("other", 1, "memory://other")
    assert not pools.is_removed("p")

    pools.delete("p")
    pools.delete("never-there")

    assert pools.is_removed("p")
    assert not pools.is_removed("other")
    assert not pools.is_removed("never-there")
    pools.create("p", 1, "memory://p")
    assert not pools.is_removed("p")


def test_a_pool_with_queues_is_in_use(pools: PoolsController, control: ControlDriver) -> None:
    pools.create("p", 1, "memory://p")
    pools.require_unused("p")
    for project in (None, "project"):
        control.catalogue_controller.insert(project, "q", "p")

    with pytest.raises(errors.PoolInUse) as raised:
        pools.require_unused("p")

    assert (raised.value.pool, raised.value.queues) == ("p", 2)
    for project in (None, "project"):
        control.catalogue_controller.delete(project, "q")
    pools.require_unused("p")


def test_a_pool_with_queues_is_not_deleted(pools: PoolsController, control: ControlDriver) -> None:
    pools.create("p", 1, "memory://p")
    for project in (None, "project"):
        control.catalogue_controller.insert(project, "q", "p")

    with pytest.raises(errors.PoolInUse) as raised:
        pools.delete("p")

    assert (raised.value.pool, raised.value.queues) == ("p", 2)
    assert pools.exists("p")
    for project in (None, "project"):
        control.catalogue_controller.delete(project, "q")
    pools.delete("p")
    assert not pools.exists("p")


def test_the_last_pool_of_a_flavor_is_not_deleted(pools: PoolsController, flavors: FlavorsController) -> None:
    flavors.create("fast", project="project")
    for name in ("a", "b"):
        pools.create(name, 1, f"memory://{name}", "fast")
    pools.delete("a")

    with pytest.raises(errors.PoolInUseByFlavor) as raised:
        pools.delete("b")

    assert (raised.value.pool, raised.value.flavor) == ("b", "fast")
    flavors.delete("fast", project="project")
    pools.delete("b")
    assert not pools.exists("b")
