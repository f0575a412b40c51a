"""Flavors of the control store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool import errors
from kombu_pool.testing.handles import page_of

if TYPE_CHECKING:
    from kombu_pool.storage import ControlDriver, FlavorsController


@pytest.fixture
def flavors(control: ControlDriver) -> FlavorsController:
    return control.flavors_controller


def test_a_flavor_comes_back_as_it_was_made(flavors: FlavorsController) -> None:
    flavors.create("fast", capabilities=["FIFO", "CLAIMS"])

    assert flavors.get("fast") == {"name": "fast"}
    assert flavors.get("fast", detailed=True) == {"name": "fast", "capabilities": ["FIFO", "CLAIMS"]}


@pytest.mark.parametrize(("capabilities", "stored"), [(None, {}), ({}, {}), ([], []), ((), [])])
def test_a_flavor_may_promise_nothing(flavors: FlavorsController, capabilities: Any, stored: Any) -> None:
    flavors.create("plain", capabilities=capabilities)

    assert flavors.get("plain", detailed=True) == {"name": "plain", "capabilities": stored}


def test_a_mapping_of_capabilities_comes_back_as_it_was_given(flavors: FlavorsController) -> None:
    flavors.create("fast", capabilities={"fifo": False})
    before = flavors.get("fast", detailed=True)

    flavors.update("fast", capabilities={"fifo": True, "aod": False})

    assert before == {"name": "fast", "capabilities": {"fifo": False}}
    assert flavors.get("fast", detailed=True)["capabilities"] == {"fifo": True, "aod": False}


def test_any_iterable_of_capabilities_will_do(flavors: FlavorsController) -> None:
    flavors.create("fast", capabilities=(name for name in ("FIFO", "AOD")))

    assert flavors.get("fast", detailed=True)["capabilities"] == ["FIFO", "AOD"]


def test_creating_again_replaces_a_flavor(flavors: FlavorsController) -> None:
    flavors.create("fast", capabilities=["FIFO"])

    flavors.create("fast", capabilities=["AOD"])

    assert flavors.get("fast", detailed=True)["capabilities"] == ["AOD"]


def test_a_flavor_that_is_there_is_not_created_if_absent(flavors: FlavorsController) -> None:
    assert flavors.create_if_absent("fast", capabilities=["FIFO"])

    assert not flavors.create_if_absent("fast", capabilities=["AOD"])

    assert flavors.get("fast", detailed=True)["capabilities"] == ["FIFO"]
    assert flavors.create_if_absent("fast", "project")
    assert flavors.get("fast", "project", detailed=True)["capabilities"] == {}


def test_of_flavors_that_are_created_if_absent_at_once_one_is_stored(flavors: FlavorsController) -> None:
    with ThreadPoolExecutor(4) as threads:
        barrier = Barrier(4)

        def create(number: int) -> bool:
            barrier.wait()
            return flavors.create_if_absent("fast", capabilities=[str(number)])

        stored = [*threads.map(create, range(4))]

    assert sum(stored) == 1
    assert flavors.get("fast", detailed=True)["capabilities"] == [str(stored.index(True))]


def test_an_unknown_flavor_does_not_exist(flavors: FlavorsController) -> None:
    assert not flavors.exists("fast")
    with pytest.raises(errors.FlavorDoesNotExist) as raised:
        flavors.get("fast")
    assert raised.value.flavor == "fast"
    with pytest.raises(errors.FlavorDoesNotExist):
        flavors.update("fast", capabilities=["FIFO"])


def test_an_update_replaces_the_capabilities(flavors: FlavorsController) -> None:
    flavors.create("fast", capabilities=["FIFO"])

    flavors.update("fast", capabilities=["AOD"])

    assert flavors.get("fast", detailed=True)["capabilities"] == ["AOD"]


def test_an_update_of_nothing_is_refused(flavors: FlavorsController) -> None:
    flavors.create("fast", capabilities=["FIFO"])

    with pytest.raises(errors.ConfigurationError) as raised:
        flavors.update("fast")

    assert isinstance(raised.value, AssertionError)
    assert flavors.get("fast", detailed=True)["capabilities"] == ["FIFO"]


def test_a_deleted_flavor_is_gone(flavors: FlavorsController) -> None:
    flavors.create("fast")

    flavors.delete("fast")
    flavors.delete("fast")

    assert not flavors.exists("fast")


def test_each_project_has_its_own_flavors(flavors: FlavorsController) -> None:
    flavors.create("fast", capabilities=["FIFO"])
    flavors.create("fast", project="project", capabilities=["AOD"])
    flavors.create("slow", project="project")

    assert flavors.get("fast", detailed=True)["capabilities"] == ["FIFO"]
    assert flavors.get("fast", project="project", detailed=True)["capabilities"] == ["AOD"]
    assert not flavors.exists("slow")
    flavors.delete("fast", project="project")
    assert flavors.exists("fast")
    assert not flavors.exists("fast", project="None")


def test_flavors_are_listed_by_name(flavors: FlavorsController) -> None:
    for name in ("b", "a", "B"):
        flavors.create(name, project="project", capabilities=["FIFO"])
    flavors.create("global")

    assert page_of(flavors.list(project="project")) == ([{"name": "B"}, {"name": "a"}, {"name": "b"}], "b")
    assert page_of(flavors.list(detailed=True))[0] == [{"name": "global", "capabilities": {}}]


def test_a_page_of_flavors_is_walked_with_next(flavors: FlavorsController) -> None:
    flavors.create("fast")
    listing = flavors.list()

    page = next(listing)

    assert (next(page), next(page, None), next(listing)) == ({"name": "fast"}, None, "fast")


def test_pages_of_flavors_follow_each_other(flavors: FlavorsController) -> None:
    for number in range(12):
        flavors.create(f"f{number:02}")

    first, marker = page_of(flavors.list())
    second, after = page_of(flavors.list(marker=marker))
    empty, end = page_of(flavors.list(marker=after))

    assert (len(first), len(second), len(empty)) == (10, 2, 0)
    assert not end
    assert len(page_of(flavors.list(limit=0))[0]) == 12


def test_drop_all_forgets_every_flavor(flavors: FlavorsController) -> None:
    flavors.create("fast")
    flavors.create("fast", project="project")

    flavors.drop_all()

    assert not flavors.exists("fast")
    assert not flavors.exists("fast", project="project")
