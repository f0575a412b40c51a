"""Pools of the control store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool import errors
from kombu_pool.testing.handles import page_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.storage import ControlDriver, FlavorsController, PoolsController


@pytest.fixture
def pools(control: ControlDriver) -> PoolsController:
    return control.pools_controller


@pytest.fixture
def flavors(control: ControlDriver) -> FlavorsController:
    return control.flavors_controller


def names(pools: Iterable[Any]) -> list[str]:
    return [pool["name"] for pool in pools]


def test_a_pool_comes_back_as_it_was_made(pools: PoolsController) -> None:
    pools.create("p", 100, "memory://p", "fast", {"max_message_size": 10})

    assert pools.get("p") == {"name": "p", "uri": "memory://p", "weight": 100, "flavor": "fast"}
    assert pools.get("p", detailed=True) == {
        "name": "p",
        "uri": "memory://p",
        "weight": 100,
        "flavor": "fast",
        "options": {"max_message_size": 10},
    }


def test_a_pool_needs_neither_flavor_nor_options(pools: PoolsController) -> None:
    pools.create("p", 0, "memory://p")

    assert pools.get("p", detailed=True) == {
        "name": "p",
        "uri": "memory://p",
        "weight": 0,
        "flavor": None,
        "options": {},
    }


def test_an_empty_flavor_is_none(pools: PoolsController) -> None:
    pools.create("p", 1, "memory://p", "")

    assert pools.get("p")["flavor"] is None


def test_creating_again_replaces_a_pool(pools: PoolsController) -> None:
    pools.create("p", 1, "memory://p", "fast", {"max_message_size": 10})

    pools.create("p", 2, "memory://q")

    assert pools.get("p", detailed=True) == {
        "name": "p",
        "uri": "memory://q",
        "weight": 2,
        "flavor": None,
        "options": {},
    }


def test_a_pool_that_is_there_is_not_created_if_absent(pools: PoolsController) -> None:
    assert pools.create_if_absent("p", 1, "memory://p", "fast", {"max_message_size": 10})
    before = pools.get("p", detailed=True)

    assert not pools.create_if_absent("p", 2, "memory://q")
    assert not pools.create_if_absent("p", 2, "memory://q", restore=True)

    assert pools.get("p", detailed=True) == before
    assert before["options"] == {"max_message_size": 10}


def test_a_pool_that_was_deleted_is_created_if_absent_only_to_restore_it(pools: PoolsController) -> None:
    pools.create("p", 1, "memory://p")
    pools.delete("p")

    assert not pools.create_if_absent("p", 2, "memory://p")
    assert not pools.exists("p")
    assert pools.create_if_absent("p", 3, "memory://p", restore=True)

    assert pools.get("p")["weight"] == 3
    assert not pools.is_removed("p")


def test_a_pool_that_is_created_if_absent_is_held_to_the_same_rules(pools: PoolsController) -> None:
    pools.create("p", 1, "memory://p")

    with pytest.raises(errors.PoolAlreadyExists):
        pools.create_if_absent("q", 1, "memory://p")
    with pytest.raises(errors.ConfigurationError):
        pools.create_if_absent("q", -1, "memory://q")
    assert not pools.exists("q")


def test_of_pools_that_are_created_if_absent_at_once_one_is_stored(pools: PoolsController) -> None:
    with ThreadPoolExecutor(4) as threads:
        barrier = Barrier(4)

        def create(number: int) -> bool:
            barrier.wait()
            return pools.create_if_absent("p", number, f"memory://{number}")

        stored = [*threads.map(create, range(4))]

    assert sum(stored) == 1
    assert pools.get("p")["weight"] == stored.index(True)


def test_creating_again_leaves_the_queues_of_the_pool_where_they_are(
    pools: PoolsController, control: ControlDriver
) -> None:
    pools.create("p", 1, "memory://p")
    control.catalogue_controller.insert(None, "q", "p")

    pools.create("p", 5, "memory://p")

    assert control.catalogue_controller.get(None, "q")["pool"] == "p"


@pytest.mark.parametrize("weight", [-1, 1.5, "1", None])
def test_a_weight_is_a_whole_number_from_zero_on(pools: PoolsController, weight: Any) -> None:
    with pytest.raises(errors.ConfigurationError) as raised:
        pools.create("p", weight, "memory://p")

    assert repr(weight) in str(raised.value)
    assert not pools.exists("p")


@pytest.mark.parametrize("uri", ["carrier-pigeon://loft", "localhost:13124", "no uri", "\0\ud800", ""])
def test_any_text_may_be_the_uri_of_a_pool(pools: PoolsController, uri: str) -> None:
    pools.create("p", 1, uri)
    pools.create("q", 1, "memory://q")
    pools.update("q", uri=f"{uri}/q")

    assert pools.get("p")["uri"] == uri
    assert pools.get("q")["uri"] == f"{uri}/q"


def test_two_pools_never_share_a_uri(pools: PoolsController) -> None:
    pools.create("p", 1, "memory://p")

    with pytest.raises(errors.PoolAlreadyExists):
        pools.create("other", 1, "memory://p")

    assert not pools.exists("other")


def test_an_unknown_pool_does_not_exist(pools: PoolsController) -> None:
    assert not pools.exists("p")
    with pytest.raises(errors.PoolDoesNotExist) as raised:
        pools.get("p")
    assert raised.value.pool == "p"
    with pytest.raises(errors.PoolDoesNotExist):
        pools.update("p", weight=1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"weight": 7}, {"weight": 7}),
        ({"weight": 0}, {"weight": 0}),
        ({"uri": "memory://new"}, {"uri": "memory://new"}),
        ({"flavor": "slow"}, {"flavor": "slow"}),
        ({"flavor": ""}, {"flavor": None}),
        ({"options": {"max_message_size": 5}}, {"options": {"max_message_size": 5}}),
        ({"options": {}}, {"options": {}}),
        ({"weight": 7, "flavor": None, "uri": None, "options": None}, {"weight": 7}),
    ],
)
def test_an_update_changes_what_it_names(pools: PoolsController, changes: dict[str, Any], expected: Any) -> None:
    pools.create("p", 1, "memory://p", "fast", {"max_message_size": 10})
    before = pools.get("p", detailed=True)

    pools.update("p", **changes)

    assert pools.get("p", detailed=True) == {**before, **expected}


@pytest.mark.parametrize("changes", [{}, {"weight": None}, {"colour": "red"}, {"weight": 2, "colour": "red"}])
def test_an_update_of_nothing_or_of_something_else_is_refused(pools: PoolsController, changes: dict[str, Any]) -> None:
    pools.create("p", 1, "memory://p")

    with pytest.raises(errors.ConfigurationError):
        pools.update("p", **changes)

    assert pools.get("p")["weight"] == 1


@pytest.mark.parametrize("name", ["p", "absent"])
@pytest.mark.parametrize("changes", [{}, {"weight": None}, {"colour": "red"}])
def test_an_update_without_a_field_of_a_pool_is_an_assertion_error_too(
    pools: PoolsController, name: str, changes: dict[str, Any]
) -> None:
    pools.create("p", 1, "memory://p")

    with pytest.raises(errors.NothingToChange) as raised:
        pools.update(name, **changes)

    assert isinstance(raised.value, AssertionError)


@pytest.mark.parametrize("changes", [{"weight": -1}, {"weight": "2"}])
def test_an_update_is_held_to_the_same_rules(pools: PoolsController, changes: dict[str, Any]) -> None:
    pools.create("p", 1, "memory://p")

    with pytest.raises(errors.ConfigurationError):
        pools.update("p", **changes)

    assert pools.get("p") == {"name": "p", "uri": "memory://p", "weight": 1, "flavor": None}


def test_an_update_to_the_uri_of_another_pool_is_refused(pools: PoolsController) -> None:
    pools.create("p", 1, "memory://p")
    pools.create("q", 1, "memory://q")

    with pytest.raises(errors.PoolAlreadyExists):
        pools.update("p", uri="memory://q")

    pools.update("p", uri="memory://p")
    assert pools.get("p")["uri"] == "memory://p"


def test_a_pool_must_do_what_its_flavor_promises(pools: PoolsController, flavors: FlavorsController) -> None:
    flavors.create("durable", capabilities=["FIFO", "DURABILITY"])

    with pytest.raises(errors.PoolCapabilitiesMismatch) as raised:
        pools.create("p", 1, "memory://p", "durable")

    assert (raised.value.pool, raised.value.flavor) == ("p", "durable")
    assert "DURABILITY" in str(raised.value)
    assert "FIFO" not in str(raised.value)
    assert not pools.exists("p")


def test_a_pool_that_can_do_more_than_its_flavor_promises_will_do(
    pools: PoolsController, flavors: FlavorsController
) -> None:
    flavors.create("ordered", capabilities=["FIFO"])

    pools.create("p", 1, "memory://p", "ordered")

    assert pools.exists("p")


def test_a_changed_pool_must_do_what_its_flavor_promises(pools: PoolsController, flavors: FlavorsController) -> None:
    flavors.create("durable", capabilities=["DURABILITY"])
    pools.create("p", 1, "memory://p")

    with pytest.raises(errors.PoolCapabilitiesMismatch):
        pools.update("p", flavor="durable")

    assert pools.get("p")["flavor"] is None


@pytest.mark.parametrize("capabilities", [{"fifo": True, "durability": False}, ["fifo"], ("Fifo", "CLAIMS")])
def test_names_of_capabilities_are_read_in_any_case_and_from_a_mapping(
    pools: PoolsController, flavors: FlavorsController, capabilities: Any
) -> None:
    flavors.create("ordered", capabilities=capabilities)

    pools.create("p", 1, "memory://p", "ordered")

    assert pools.exists("p")
    flavors.update("ordered", capabilities={"fifo": False, "durability": True})
    with pytest.raises(errors.PoolCapabilitiesMismatch, match="DURABILITY"):
        pools.create("q", 1, "memory://q", "ordered")


def test_of_a_uri_that_no_driver_serves_no_capability_is_known(
    pools: PoolsController, flavors: FlavorsController
) -> None:
    flavors.create("durable", capabilities=["DURABILITY"])

    pools.create("p", 1, "carrier-pigeon://loft", "durable")

    assert pools.get("p")["flavor"] == "durable"


def test_pools_without_flavor_need_have_nothing_in_common(pools: PoolsController) -> None:
    pools.create("p", 1, "memory://p")
    pools.create("q", 1, "sqlite:////tmp/never-opened.db")


def test_pools_are_listed_by_name(pools: PoolsController) -> None:
    for name in ("b", "a", "B"):
        pools.create(name, 1, f"memory://{name}")

    page, marker = page_of(pools.list())

    assert names(page) == ["B", "a", "b"]
    assert marker == "b"
    assert page[0] == {"name": "B", "uri": "memory://B", "weight": 1, "flavor": None}
    assert page_of(pools.list(detailed=True))[0][0]["options"] == {}


def test_a_page_of_pools_is_walked_with_next(pools: PoolsController) -> None:
    pools.create("p", 1, "memory://p")
    listing, of_no_flavor = pools.list(), pools.get_pools_by_flavor()

    page = next(listing)

    assert (next(page)["name"], next(page, None)) == ("p", None)
    assert next(listing) == "p"
    assert (next(of_no_flavor)["name"], next(of_no_flavor, None)) == ("p", None)
    pools.drop_all()
    assert next(next(pools.list()), None) is None


def test_pages_of_pools_follow_each_other(pools: PoolsController) -> None:
    for number in range(12):
        pools.create(f"p{number:02}", 1, f"memory://{number}")

    first, marker = page_of(pools.list())
    second, after = page_of(pools.list(marker=marker))
    empty, end = page_of(pools.list(marker=after))

    assert (len(first), len(second), len(empty)) == (10, 2, 0)
    assert not end
    assert len(page_of(pools.list(limit=0))[0]) == 12
    assert len(page_of(pools.list(limit=5))[0]) == 5


def test_pools_are_found_by_their_flavor(pools: PoolsController, flavors: FlavorsController) -> None:
    flavors.create("fast")
    pools.create("b", 1, "memory://b", "fast")
    pools.create("a", 0, "memory://a", "fast", {"max_message_size": 10})
    pools.create("c", 1, "memory://c", "slow")
    pools.create("d", 1, "memory://d")

    assert names(pools.get_pools_by_flavor(flavors.get("fast"))) == ["a", "b"]
    assert names(pools.get_pools_by_flavor({"name": "none of them"})) == []
    assert next(pools.get_pools_by_flavor({"name": "fast"}, detailed=True))["options"] == {"max_message_size": 10}


def test_without_a_flavor_only_pools_without_flavor_are_found(pools: PoolsController) -> None:
    pools.create("plain", 1, "memory://a")
    pools.create("cleared", 1, "memory://b", "fast")
    pools.create("flavored", 1, "memory://c", "fast")
    pools.update("cleared", flavor="")

    assert names(pools.get_pools_by_flavor()) == ["cleared", "plain"]
    assert names(pools.get_pools_by_flavor(flavor=None, detailed=True)) == ["cleared", "plain"]


def test_options_are_not_shared_with_the_caller(pools: PoolsController) -> None:
    options = {"list": [1]}
    pools.create("p", 1, "memory://p", options=options)
    options["list"].append(2)
    pools.get("p", detailed=True)["options"]["list"].append(3)

    assert pools.get("p", detailed=True)["options"] == {"list": [1]}


def test_drop_all_forgets_every_pool(pools: PoolsController) -> None:
    pools.create("p", 1, "memory://p")

    pools.drop_all()

    assert page_of(pools.list())[0] == []


def test_the_reserved_pool_is_neither_changed_nor_removed(pools: PoolsController) -> None:
    pools.create("kombu_pool.control", 0, "memory://p", options={"virtual": True})
    pools.create("kombu_pool.control", 0, "memory://p", options={"virtual": True})
    row = pools.get("kombu_pool.control", detailed=True)

    with pytest.raises(errors.PoolIsReserved):
        pools.create("kombu_pool.control", 100, "memory://q")
    with pytest.raises(errors.PoolIsReserved):
        pools.update("kombu_pool.control", weight=1)
    with pytest.raises(errors.PoolIsReserved):
        pools.delete("kombu_pool.control")

    assert pools.get("kombu_pool.control", detailed=True) == row


def test_the_reserved_pool_may_have_the_uri_of_another(pools: PoolsController) -> None:
    pools.create("p", 1, "memory://p")
    pools.create("kombu_pool.control", 0, "memory://p", options={"virtual": True})
    pools.update("p", weight=2)

    assert names(next(pools.list())) == ["kombu_pool.control", "p"]
