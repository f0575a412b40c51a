from __future__ import annotations

import pytest
from oslo_config import cfg

from kombu_pool import drivers, errors
from kombu_pool.conf import CATALOG_GROUP, register_opts
from kombu_pool.pooling import DataDriver
from tests.support.pooling.switchable_stores import bodies, post


def configured(**options):
    conf = cfg.ConfigOpts()
    conf([])
    register_opts(conf)
    for name, value in options.items():
        conf.set_override(name, value, group=CATALOG_GROUP)
    return conf


def test_a_control_store_that_names_no_pool_serves_as_its_own_first_pool(empty, stores):
    empty.queue_controller.create("q")
    post(empty, "q", 1)

    assert empty.catalog.pool_of("q") == "default"
    assert empty.control.pools_controller.get("default", detailed=True) == {
        "name": "default",
        "uri": stores.uri("control"),
        "weight": 100,
        "flavor": None,
        "options": {"virtual": True},
    }
    assert empty.control.catalogue_controller.get(None, "q")["pool"] == "default"
    assert bodies(stores.leaf("control"), "q") == [1]


def test_a_first_pool_that_another_adds_between_two_looks_is_found(empty, stores, monkeypatch):
    pools = empty.control.pools_controller
    list_pools = pools.list

    def added_by_another_first(*arguments, **options):
        pools.create("default", 100, stores.uri("control"), options={"virtual": True})
        return list_pools(*arguments, **options)

    monkeypatch.setattr(pools, "list", added_by_another_first)

    empty.queue_controller.create("q")

    assert empty.catalog.pool_of("q") == "default"


def test_switched_off_there_is_no_pool(control):
    driver = DataDriver(configured(enable_virtual_pool=False), None, control)

    with pytest.raises(errors.NoPoolFound):
        driver.queue_controller.create("q")

    assert list(next(control.pools_controller.list())) == []
    assert not control.catalogue_controller.exists(None, "q")
    assert driver.capabilities == ()


def test_the_control_store_serves_while_no_pool_takes_queues(pooled, stores):
    for name in ("a", "b"):
        pooled.control.pools_controller.update(name, weight=0)

    pooled.queue_controller.create("q")
    post(pooled, "q", 1)
    pooled.control.pools_controller.update("a", weight=1)
    pooled.queue_controller.create("later")

    assert pooled.catalog.pool_of("q") == "default"
    assert bodies(stores.leaf("control"), "q") == [1]
    assert pooled.control.pools_controller.get("default")["weight"] == 0
    assert pooled.catalog.pool_of("later") == "a"


def test_the_control_store_serves_beside_pools_that_all_have_flavors(empty, stores):
    empty.control.flavors_controller.create("fast")
    empty.control.pools_controller.create("f", 100, stores.uri("f"), "fast")

    for queue in ("one", "two"):
        empty.queue_controller.create(queue)
    empty.queue_controller.create("quick", {"_flavor": "fast"})

    assert [empty.catalog.pool_of(queue) for queue in ("one", "two", "quick")] == ["default", "default", "f"]


def test_a_pool_over_the_control_store_serves_instead_of_a_virtual_one(empty, stores):
    empty.control.pools_controller.create("mine", 0, stores.uri("control"))

    empty.queue_controller.create("q")

    assert empty.catalog.pool_of("q") == "mine"
    assert not empty.control.pools_controller.exists("default")


def test_the_virtual_pool_replaces_no_pool_of_its_name(empty, stores):
    empty.control.flavors_controller.create("fast")
    empty.control.pools_controller.create("default", 100, stores.uri("f"), "fast")

    empty.queue_controller.create("q")

    assert empty.catalog.pool_of("q") == "kombu_pool.default"
    assert empty.control.pools_controller.get("default")["flavor"] == "fast"


def test_switched_off_the_error_names_the_queue_and_all_pools(control, stores):
    driver = DataDriver(configured(enable_virtual_pool=False), None, control)
    control.flavors_controller.create("fast")
    control.pools_controller.create("a", 0, stores.uri("a"))
    control.pools_controller.create("f", 100, stores.uri("f"), "fast")

    with pytest.raises(errors.NoPoolFound) as raised:
        driver.queue_controller.create("q", None, "shop")

    assert (raised.value.queue, raised.value.project, raised.value.flavor) == ("q", "shop", None)
    assert raised.value.pools == "a (weight 0, no flavor), f (weight 100, flavor fast)"
    assert "'q' of project 'shop'" in str(raised.value)
    assert raised.value.pools in str(raised.value)
    assert not control.catalogue_controller.exists("shop", "q")


def test_a_lookup_makes_no_pool(empty):
    assert empty.catalog.lookup("q") is None

    assert not empty.control.pools_controller.exists("default")


def test_its_queues_stay_when_the_first_real_pool_is_added(empty, stores):
    empty.queue_controller.create("q")
    post(empty, "q", 1)

    empty.control.pools_controller.create("a", 100, stores.uri("a"))
    empty.queue_controller.create("q")

    assert bodies(empty, "q") == [1]


def test_a_moved_control_store_is_still_its_own_pool(tmp_path):
    before = DataDriver(None, None, f"sqlite:///{tmp_path}/before.db")
    before.queue_controller.create("q")
    post(before, "q", "kept")
    before.close()
    (tmp_path / "before.db").rename(tmp_path / "after.db")

    after = DataDriver(None, None, f"sqlite:///{tmp_path}/after.db")
    post(after, "q", "new")

    assert bodies(after, "q") == ["kept", "new"]
    assert not (tmp_path / "before.db").exists()
    after.close()


def test_the_default_pool_without_listing_is_the_control_store(empty, stores):
    driver = empty.catalog.get_default_pool(use_listing=False)

    assert driver.uri == stores.uri("control")


def test_its_capabilities_are_those_of_the_control_store(empty):
    before = empty.capabilities
    empty.queue_controller.create("q")

    assert before == empty.capabilities == tuple(sorted(drivers.capabilities_of("memory://x")))


def test_a_pool_of_its_own_uri_added_at_the_same_moment_is_as_good(empty, stores, monkeypatch):
    create = empty.control.pools_controller.create

    def create_after_another(name, *_, **__):
        monkeypatch.undo()
        create("theirs", 100, stores.uri("control"))
        raise errors.PoolAlreadyExists("theirs")

    monkeypatch.setattr(empty.control.pools_controller, "create_if_absent", create_after_another)
    empty.catalog.register("q")

    assert empty.catalog.pool_of("q") == "theirs"
