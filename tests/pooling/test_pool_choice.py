"""New queues while pools are down, and control queues."""

from __future__ import annotations

import pytest

from kombu_pool import errors
from kombu_pool.model import Expiry
from kombu_pool.pooling import DataDriver, declare_pools, pool_choice
from tests.support.pooling.switchable_stores import Switchable, bodies, post


@pytest.fixture
def asked(monkeypatch):
    """The URIs of the stores that were asked whether they answer."""
    uris = []
    method = Switchable.__getattr__

    def recorded(self, name):
        uris.extend([self._uri] if name == "exists" else [])
        return method(self, name)

    monkeypatch.setattr(Switchable, "__getattr__", recorded)
    return uris


def test_a_new_queue_is_assigned_to_a_pool_that_answers(pooled, stores):
    stores.switch_off("a")

    for number in range(20):
        pooled.queue_controller.create(f"q{number}")

    assert {pooled.catalog.pool_of(f"q{number}") for number in range(20)} == {"b"}


def test_a_pool_that_is_open_and_went_down_is_left_out_too(pooled, stores):
    for name in ("a", "b"):
        pooled.catalog.get_driver(name)
    stores.switch_off("a")

    for number in range(20):
        pooled.queue_controller.create(f"q{number}")

    assert {pooled.catalog.pool_of(f"q{number}") for number in range(20)} == {"b"}


def test_a_new_queue_asks_one_pool_and_a_known_one_none(pooled, asked):
    pooled.queue_controller.create("q")
    first = len(asked)
    pooled.queue_controller.create("q")
    pooled.catalog.register("q")

    assert (first, len(asked)) == (1, 1)


def test_a_pool_that_did_not_answer_is_asked_once_a_second(pooled, stores, asked, clock):
    pooled.catalog.get_driver("f")
    stores.switch_off("f")

    def fail():
        with pytest.raises(errors.PoolUnavailable, match="'f'"):
            pooled.queue_controller.create("q", {"_flavor": "fast"})
        return len(asked)

    assert [fail(), fail(), fail()] == [1, 1, 1]
    clock.advance(1)
    assert fail() == 2
    stores.switch_on("f")
    clock.advance(1)
    assert pooled.queue_controller.create("q", {"_flavor": "fast"})
    assert pooled.catalog.open_pools.peek("f").outage is None


def test_while_no_eligible_pool_answers_a_queue_is_assigned_to_none(pooled, stores):
    for name in ("a", "b"):
        pooled.catalog.get_driver(name)
        stores.switch_off(name, f"{name} is refused")

    with pytest.raises(errors.PoolUnavailable) as raised:
        pooled.queue_controller.create("q")

    assert raised.value.pool in ("a", "b")
    assert raised.value.reason == f"{raised.value.pool} is refused"
    assert not pooled.control.catalogue_controller.exists(None, "q")
    assert not pooled.control.pools_controller.exists("default")


def test_a_queue_that_is_assigned_keeps_its_pool_while_that_is_down(populated, stores):
    populated.control.catalogue_controller.insert(None, "begun", "a")
    stores.switch_off("a")

    for queue in ("of-a", "begun"):
        populated.catalog.register(queue)

    assert [populated.catalog.pool_of(queue) for queue in ("of-a", "begun")] == ["a", "a"]


@pytest.mark.parametrize("expiry", [Expiry(0.0), Expiry(60.0, from_now=True), Expiry(0.0, holder="h", holder_ttl=60)])
def test_a_queue_that_expires_lives_in_the_control_store(pooled, stores, asked, expiry):
    for name in ("a", "b"):
        stores.switch_off(name)

    pooled.queue_controller.create("replies", expiry=expiry)
    post(pooled, "replies", 1)

    assert pooled.catalog.pool_of("replies") == "kombu_pool.control"
    assert bodies(stores.leaf("control"), "replies") == [1]
    assert asked == []
    assert pooled.control.pools_controller.get("kombu_pool.control", detailed=True) == {
        "name": "kombu_pool.control",
        "uri": stores.uri("control"),
        "weight": 0,
        "flavor": None,
        "options": {"virtual": True},
    }


def test_a_queue_that_expires_and_has_a_flavor_is_in_a_pool_of_it(pooled):
    pooled.queue_controller.create("q", {"_flavor": "fast"}, expiry=Expiry(60.0))

    assert pooled.catalog.pool_of("q") == "f"


def test_only_control_queues_are_in_the_reserved_pool(pooled):
    pooled.queue_controller.create("replies", expiry=Expiry(60.0))
    for number in range(20):
        pooled.queue_controller.create(f"q{number}")
    for name in ("a", "b"):
        pooled.control.pools_controller.update(name, weight=0)
    pooled.queue_controller.create("late")

    assert {pooled.catalog.pool_of(f"q{number}") for number in range(20)} == {"a", "b"}
    assert pooled.catalog.pool_of("late") == "default"


@pytest.mark.parametrize("weight", [0, 100])
def test_a_pool_over_the_control_store_has_the_control_queues(pooled, stores, weight):
    pooled.control.pools_controller.create("mine", weight, stores.uri("control"))

    pooled.queue_controller.create("replies", expiry=Expiry(60.0))

    assert pooled.catalog.pool_of("replies") == "mine"
    assert not pooled.control.pools_controller.exists("kombu_pool.control")


def test_without_pools_one_virtual_pool_has_all_queues(empty):
    empty.queue_controller.create("replies", expiry=Expiry(60.0))
    empty.queue_controller.create("q")

    assert [empty.catalog.pool_of(queue) for queue in ("replies", "q")] == ["default", "default"]


def test_a_control_queue_that_is_assigned_stays_where_it_is(pooled):
    pooled.control.catalogue_controller.insert(None, "replies", "a")

    pooled.queue_controller.create("replies", expiry=Expiry(60.0))

    assert pooled.catalog.pool_of("replies") == "a"


def test_a_control_store_that_cannot_be_a_pool_has_no_control_queues(pooled, monkeypatch):
    def capabilities_of(uri):
        raise errors.ConfigurationError(uri)

    monkeypatch.setattr(pool_choice, "capabilities_of", capabilities_of)

    pooled.queue_controller.create("replies", expiry=Expiry(60.0))

    assert pooled.catalog.pool_of("replies") in ("a", "b")


def test_a_pool_over_the_control_store_can_be_added_after_the_reserved_one(pooled, stores):
    pooled.queue_controller.create("replies", expiry=Expiry(60.0))

    declare_pools(pooled.control, [{"name": "mine", "uri": stores.uri("control")}])
    pooled.queue_controller.create("events", expiry=Expiry(60.0))

    assert [pooled.catalog.pool_of(queue) for queue in ("replies", "events")] == ["kombu_pool.control", "mine"]


def test_two_processes_may_add_the_reserved_pool_at_once(pooled, control, clock):
    other = DataDriver(None, None, control, clock=clock)
    rows = other.catalog.open_pools.rows()
    pooled.queue_controller.create("replies", expiry=Expiry(60.0))
    other.catalog.open_pools.rows = lambda: rows

    other.queue_controller.create("events", expiry=Expiry(60.0))

    assert other.catalog.pool_of("events") == "kombu_pool.control"


def test_a_declaration_cannot_change_the_reserved_pool(pooled, stores):
    with pytest.raises(errors.PoolIsReserved, match="control store's own"):
        declare_pools(pooled.control, [{"name": "kombu_pool.control", "uri": stores.uri("c")}])


def test_a_pool_that_answers_with_an_error_is_not_taken_for_one_that_is_down(pooled, stores, monkeypatch):
    stores.switch_off("b")

    def refuse(*_):
        raise errors.IncompatibleStore("another layout")

    monkeypatch.setattr(pooled.catalog.get_driver("a").queue_controller, "exists", refuse, raising=False)

    with pytest.raises(errors.IncompatibleStore, match="another layout"):
        pooled.queue_controller.create("q")
