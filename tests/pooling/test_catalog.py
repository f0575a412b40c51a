from __future__ import annotations

import threading
from collections import Counter

import pytest

from kombu_pool import errors
from kombu_pool.model import Capabilities
from kombu_pool.pooling import Catalog, DataDriver, pool_choice
from kombu_pool.pooling import catalog as catalog_module
from tests.support.pooling.switchable_stores import bodies, post


def test_messages_are_where_the_catalogue_says(populated, stores):
    post(populated, "of-a", "for a")
    post(populated, "of-b", "for b")

    assert bodies(stores.leaf("a"), "of-a") == ["for a"]
    assert bodies(stores.leaf("b"), "of-b") == ["for b"]
    assert bodies(stores.leaf("b"), "of-a") == []


def test_every_controller_goes_to_the_pool_of_the_queue(populated, stores):
    post(populated, "of-a", 1, 2)
    populated.claim_controller.create("of-a", {"ttl": 60, "grace": 60}, limit=1)
    populated.subscription_controller.create("of-a", "http://listener", 60, {})

    leaf = stores.leaf("a")

    assert leaf.queue_controller.stats("of-a")["messages"]["claimed"] == 1
    assert len(list(next(leaf.subscription_controller.list("of-a")))) == 1


def test_the_same_queue_name_in_two_projects_may_live_in_two_pools(pooled, stores):
    for project, pool in ((None, "a"), ("None", "b"), ("p", "b")):
        pooled.control.catalogue_controller.insert(project, "q", pool)
        pooled.queue_controller.create("q", project=project)
        post(pooled, "q", f"of {project}", project=project)

    assert bodies(stores.leaf("a"), "q") == ["of None"]
    assert bodies(stores.leaf("b"), "q", "None") == ["of None"]
    assert bodies(stores.leaf("b"), "q", "p") == ["of p"]


def test_queues_spread_over_the_pools_by_weight(pooled):
    pooled.control.pools_controller.update("b", weight=300)

    for number in range(400):
        pooled.catalog.register(f"q{number}")

    spread = Counter(entry["pool"] for entry in pooled.control.catalogue_controller.list(None))
    assert set(spread) == {"a", "b"}
    assert 60 < spread["a"] < 140


def test_a_pool_of_weight_0_takes_no_new_queues_but_keeps_those_it_has(populated):
    populated.control.pools_controller.update("a", weight=0)

    for number in range(20):
        populated.catalog.register(f"q{number}")
    populated.catalog.register("of-a")

    assert {populated.catalog.pool_of(f"q{number}") for number in range(20)} == {"b"}
    assert populated.catalog.pool_of("of-a") == "a"


def test_a_flavor_draws_from_its_own_pools_only(pooled):
    for number in range(10):
        pooled.catalog.register(f"q{number}", flavor="fast")

    assert {pooled.catalog.pool_of(f"q{number}") for number in range(10)} == {"f"}


def test_a_queue_that_asks_for_no_flavor_never_gets_a_pool_that_has_one(pooled):
    for number in range(30):
        pooled.catalog.register(f"q{number}")

    assert "f" not in {pooled.catalog.pool_of(f"q{number}") for number in range(30)}


def test_an_idempotent_create_never_moves_a_queue(pooled, stores):
    pooled.queue_controller.create("q", {"_flavor": "fast"})
    post(pooled, "q", "kept")

    created = [pooled.queue_controller.create("q", metadata) for metadata in (None, {}, {"x": 1}) for _ in range(10)]
    pooled.queue_controller.set_metadata("q", {})

    assert not any(created)
    assert pooled.catalog.pool_of("q") == "f"
    assert bodies(pooled, "q") == ["kept"]
    assert bodies(stores.leaf("f"), "q") == ["kept"]


def test_asking_for_another_flavor_leaves_the_queue_where_it_is(pooled):
    pooled.control.flavors_controller.create("slow")
    pooled.catalog.register("q", flavor="fast")

    pooled.catalog.register("q", flavor="slow")

    assert pooled.catalog.pool_of("q") == "f"


def test_no_pool_of_the_flavor_leaves_no_row(pooled):
    pooled.control.flavors_controller.create("empty")

    with pytest.raises(errors.NoPoolFound):
        pooled.queue_controller.create("q", {"_flavor": "empty"})

    assert not pooled.control.catalogue_controller.exists(None, "q")
    assert not pooled.queue_controller.exists("q")
    assert pooled.catalog.lookup("q") is None


def test_pools_that_all_weigh_nothing_leave_no_row(pooled):
    pooled.control.pools_controller.update("f", weight=0)

    with pytest.raises(errors.NoPoolFound):
        pooled.catalog.register("q", flavor="fast")

    assert not pooled.control.catalogue_controller.exists(None, "q")


def test_an_unknown_flavor_leaves_no_row(pooled):
    with pytest.raises(errors.FlavorDoesNotExist):
        pooled.queue_controller.create("q", {"_flavor": "unheard of"})

    assert not pooled.control.catalogue_controller.exists(None, "q")


def test_a_pool_deleted_between_the_draw_and_the_assignment_is_drawn_again(pooled, monkeypatch):
    drawn = iter([{"name": "gone", "weight": 1}])
    choose = pool_choice.choose_weighted
    monkeypatch.setattr(pool_choice, "choose_weighted", lambda pools: next(drawn, None) or choose(pools))

    pooled.catalog.register("q")

    assert pooled.catalog.pool_of("q") in {"a", "b"}


def test_threads_that_race_to_register_a_queue_agree(pooled, control, clock):
    catalogs = [Catalog(None, None, control, clock=clock) for _ in range(8)]
    for number in range(20):
        start = threading.Barrier(len(catalogs))

        def register(catalog, start=start, number=number):
            start.wait()
            catalog.register(f"q{number}")

        threads = [threading.Thread(target=register, args=(catalog,)) for catalog in catalogs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len({catalog.pool_of(f"q{number}") for catalog in catalogs}) == 1


def test_register_and_deregister_are_idempotent(pooled):
    pooled.catalog.register("q")
    first = pooled.catalog.pool_of("q")
    pooled.catalog.register("q")

    assert pooled.catalog.pool_of("q") == first
    pooled.catalog.deregister("q")
    pooled.catalog.deregister("q")
    assert pooled.catalog.pool_of("q") is None


def test_a_deregistered_queue_is_not_found_at_once(populated):
    assert populated.catalog.lookup("of-a") is not None

    populated.catalog.deregister("of-a")

    assert populated.catalog.lookup("of-a") is None


def test_a_lookup_asks_the_control_store_once_in_its_ttl(populated, clock, monkeypatch):
    calls = []
    find = populated.control.catalogue_controller.find_until
    monkeypatch.setattr(
        populated.control.catalogue_controller, "find_until", lambda *key: calls.append(key) or find(*key)
    )

    for _ in range(50):
        populated.catalog.lookup("of-a")
    clock.advance(9.9)
    populated.catalog.lookup("of-a")
    within = len(calls)
    clock.advance(0.2)
    populated.catalog.lookup("of-a")

    assert within <= 1
    assert len(calls) == within + 1


def test_a_change_made_elsewhere_is_seen_within_the_ttl(populated, clock):
    assert populated.catalog.pool_of("of-a") == "a"
    populated.control.catalogue_controller.update(None, "of-a", "b")

    clock.advance(10.1)

    assert populated.catalog.pool_of("of-a") == "b"
    assert populated.catalog.lookup("of-a") is populated.catalog.get_driver("b")


def test_a_clock_that_was_set_back_does_not_prolong_what_is_remembered(populated, clock):
    assert populated.catalog.pool_of("of-a") == "a"
    populated.control.catalogue_controller.update(None, "of-a", "b")

    clock.advance(-86400)

    assert populated.catalog.pool_of("of-a") == "b"


def test_absence_is_not_remembered(pooled, control, clock):
    assert pooled.catalog.lookup("q") is None

    Catalog(None, None, control, clock=clock).register("q")

    assert pooled.catalog.lookup("q") is not None


def test_a_reader_that_is_overtaken_by_a_deregistration_remembers_nothing(populated, monkeypatch, clock):
    clock.advance(60)
    find = populated.control.catalogue_controller.find_until

    def slow(*key):
        found = find(*key)
        monkeypatch.setattr(populated.control.catalogue_controller, "find_until", find)
        populated.catalog.deregister("of-a")
        return found

    monkeypatch.setattr(populated.control.catalogue_controller, "find_until", slow)
    populated.catalog.lookup("of-a")

    assert populated.catalog.lookup("of-a") is None


def test_a_queue_declared_again_elsewhere_gets_its_messages_in_its_new_pool(populated, stores, control, clock):
    post(populated, "of-a", "old")
    other = DataDriver(None, None, control, clock=clock)
    other.queue_controller.delete("of-a")
    control.catalogue_controller.insert(None, "of-a", "b")
    other.queue_controller.create("of-a")

    post(populated, "of-a", "new")

    assert bodies(stores.leaf("b"), "of-a") == ["new"]
    assert bodies(stores.leaf("a"), "of-a") == []


def test_a_queue_deleted_elsewhere_is_assigned_again_by_its_declaration(populated, control, clock):
    other = DataDriver(None, None, control, clock=clock)
    other.queue_controller.delete("of-a")

    populated.queue_controller.create("of-a")

    assert other.catalog.lookup("of-a") is not None


def test_a_route_survives_an_outage_of_the_control_store(populated, clock, monkeypatch):
    def refused(*_, **__):
        raise errors.ConnectionError("refused")

    post(populated, "of-a", 1)
    monkeypatch.setattr(populated.control.catalogue_controller, "find_until", refused)
    monkeypatch.setattr(populated.control.pools_controller, "get", refused)
    clock.advance(30)

    post(populated, "of-a", 2)

    assert bodies(populated, "of-a") == [1, 2]
    with pytest.raises(errors.ConnectionError):
        populated.catalog.lookup("never seen")


def test_a_queue_whose_pool_is_gone_is_assigned_to_another_by_its_declaration(populated, clock):
    populated.control.pools_controller.drop_all()
    populated.control.pools_controller.create("c", 100, populated.catalog.control.uri)
    populated.control.catalogue_controller.insert(None, "of-a", "c")
    populated.control.pools_controller.drop_all()
    populated.control.pools_controller.create("d", 100, populated.catalog.control.uri)
    clock.advance(60)

    populated.queue_controller.create("of-a")

    assert populated.catalog.pool_of("of-a") == "d"


def test_lookup_gives_none_and_controllers_give_none_for_a_queue_without_pool(pooled):
    catalog = pooled.catalog

    assert catalog.lookup("q") is None
    assert catalog.pool_of("q") is None
    assert catalog.get_queue_controller("q") is None
    assert catalog.get_message_controller("q") is None
    assert catalog.get_claim_controller("q") is None
    assert catalog.get_subscription_controller("q") is None


def test_the_controllers_of_a_queue_are_those_of_its_pools_driver(populated):
    driver = populated.catalog.lookup("of-a")

    assert populated.catalog.get_queue_controller("of-a") is driver.queue_controller
    assert populated.catalog.get_message_controller("of-a") is driver.message_controller
    assert populated.catalog.get_claim_controller("of-a") is driver.claim_controller
    assert populated.catalog.get_subscription_controller("of-a") is driver.subscription_controller


def test_capabilities_are_what_every_pool_can_do(pooled, monkeypatch):
    able = {"a": (Capabilities.FIFO, Capabilities.AOD), "b": (Capabilities.AOD,), "f": tuple(Capabilities)}
    monkeypatch.setattr(catalog_module, "capabilities_of", lambda uri: able[uri[-1]])

    assert pooled.capabilities == (Capabilities.AOD,)


def test_a_pool_whose_uri_no_driver_serves_stops_only_its_own_queues(populated):
    before = populated.capabilities
    populated.control.pools_controller.create("odd", 100, "carrier-pigeon://loft")
    populated.control.catalogue_controller.insert(None, "of-odd", "odd")

    with pytest.raises(errors.ConfigurationError, match="carrier-pigeon"):
        populated.catalog.lookup("of-odd")

    assert populated.capabilities == before
    assert "carrier-pigeon" in populated.health()["pools"]["odd"]["reason"]
    post(populated, "of-a", 1)


def test_a_queue_that_is_deleted_while_it_gets_another_pool_is_assigned(populated, monkeypatch):
    catalogue, pools = populated.control.catalogue_controller, populated.control.pools_controller
    catalogue.insert(None, "moved", "deleted")
    get = pools.get_pools_by_flavor
    monkeypatch.setattr(
        pools, "get_pools_by_flavor", lambda *v, **n: (catalogue.delete(None, "moved"), get(*v, **n))[1]
    )

    populated.catalog.register("moved")

    assert catalogue.get(None, "moved")["pool"] in ("a", "b")


def test_the_default_pool_is_one_without_flavor_that_takes_queues(pooled):
    pooled.control.pools_controller.update("a", weight=0)

    assert {pooled.catalog.get_default_pool() for _ in range(10)} == {pooled.catalog.get_driver("b")}
    assert pooled.catalog.get_default_pool(use_listing=False) is None


def test_a_queue_deleted_elsewhere_takes_no_more_messages(populated, control, clock):
    post(populated, "of-a", 1)
    DataDriver(None, None, control, clock=clock).queue_controller.delete("of-a")

    with pytest.raises(errors.QueueDoesNotExist):
        post(populated, "of-a", 2)


def test_a_queue_that_only_its_pool_forgot_is_created_anew_there(populated, stores):
    stores.leaf("a").queue_controller.delete("of-a")

    post(populated, "of-a", 1)

    assert bodies(populated, "of-a") == bodies(stores.leaf("a"), "of-a") == [1]


def test_a_queue_that_its_pool_and_the_control_store_forgot_takes_no_messages(populated, stores):
    stores.leaf("a").queue_controller.delete("of-a")
    populated.control.queue_controller.delete("of-a")

    with pytest.raises(errors.QueueDoesNotExist):
        post(populated, "of-a", 1)


def test_messages_may_be_posted_out_of_a_generator(populated):
    ids = populated.message_controller.post("of-a", ({"ttl": 60, "body": body} for body in range(3)), None)

    assert len(ids) == 3
    assert bodies(populated, "of-a") == [0, 1, 2]


def test_a_queue_whose_pool_is_gone_stays_so_when_there_is_no_other(populated, clock, monkeypatch):
    monkeypatch.setattr(populated.catalog.choice, "_enable_virtual_pool", False)
    for name in ("a", "b"):
        populated.control.pools_controller.update(name, weight=0)
    rows = {name: populated.control.pools_controller.get(name) for name in ("b", "f")}
    populated.control.pools_controller.drop_all()
    for name, row in rows.items():
        populated.control.pools_controller.create(name, 0, row["uri"], row["flavor"])
    clock.advance(60)

    with pytest.raises(errors.NoPoolFound):
        populated.catalog.register("of-a")
    with pytest.raises(errors.PoolDoesNotExist):
        post(populated, "of-a", 1)
