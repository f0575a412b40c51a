from __future__ import annotations

import pytest

import kombu_pool
from kombu_pool import errors
from kombu_pool.pooling import Catalog, declare_pools, require_pools_of
from tests.support.pooling.switchable_stores import bodies, post


def test_declared_pools_and_flavors_are_added(control, stores):
    declare_pools(
        control,
        [
            {"name": "a", "uri": stores.uri("a")},
            {"name": "f", "uri": stores.uri("f"), "weight": 7, "flavor": "fast", "options": {"max_message_size": 9}},
        ],
        [{"name": "fast", "capabilities": ["FIFO"]}],
    )

    assert control.pools_controller.get("a")["weight"] == 100
    assert control.pools_controller.get("f", detailed=True) == {
        "name": "f",
        "uri": stores.uri("f"),
        "weight": 7,
        "flavor": "fast",
        "options": {"max_message_size": 9},
    }
    assert control.flavors_controller.get("fast", detailed=True)["capabilities"] == ["FIFO"]


def test_declaring_the_same_again_writes_nothing(control, stores, monkeypatch):
    pools = [{"name": "f", "uri": stores.uri("f"), "flavor": "fast"}, {"name": "a", "uri": stores.uri("a")}]
    flavors = [{"name": "fast", "capabilities": ["FIFO", "AOD"]}, {"name": "slow", "capabilities": {"fifo": False}}]
    declare_pools(control, pools, flavors)

    def write(*_, **__):
        pytest.fail("nothing is different")

    for controller in (control.pools_controller, control.flavors_controller):
        for method in ("create", "update", "delete"):
            monkeypatch.setattr(controller, method, write)

    declare_pools(control, pools, flavors)


def test_a_difference_is_written_and_only_that(control, stores, monkeypatch):
    declare_pools(control, [{"name": "f", "uri": stores.uri("f"), "flavor": "fast", "weight": 5}])
    written = []
    update = control.pools_controller.update
    monkeypatch.setattr(
        control.pools_controller, "update", lambda name, **new: (written.append(new), update(name, **new))
    )

    declare_pools(control, [{"name": "f", "uri": stores.uri("f"), "weight": 6}])

    assert written == [{"weight": 6, "flavor": ""}]
    assert control.pools_controller.get("f")["flavor"] is None


def test_a_flavor_that_only_a_pool_names_is_declared_with_it(control, stores):
    declare_pools(control, [{"name": "f", "uri": stores.uri("f"), "flavor": "fast"}], project="p")

    assert control.flavors_controller.exists("fast", project="p")


def test_a_declared_pool_cannot_get_a_uri_that_no_driver_serves(control, stores):
    declare_pools(control, [{"name": "a", "uri": stores.uri("a")}])

    with pytest.raises(errors.ConfigurationError, match="carrier-pigeon://"):
        declare_pools(control, [{"name": "a", "uri": "carrier-pigeon://loft"}])

    assert control.pools_controller.get("a")["uri"] == stores.uri("a")


def test_what_is_not_declared_stays(control, stores):
    declare_pools(control, [{"name": "a", "uri": stores.uri("a")}])

    declare_pools(control, [{"name": "b", "uri": stores.uri("b")}])

    assert control.pools_controller.exists("a")


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        ({"uri": "memory://x"}, "'name'"),
        ({"name": "a"}, "'uri'"),
        ({"name": "", "uri": "memory://x"}, "'name'"),
        ({"name": "a", "uri": "memory://x", "wieght": 3}, "'wieght'"),
        ({"name": "a", "uri": "memory://x", "weight": -1}, "weight must be 0 or more, not -1"),
        ({"name": "a", "uri": "memory://x", "weight": "3"}, "weight must be 0 or more, not '3'"),
        ({"name": "a", "uri": "memory://x", "weight": True}, "weight must be 0 or more, not True"),
        ({"name": "a", "uri": "carrier-pigeon://loft"}, "carrier-pigeon://"),
        ({"name": "a", "uri": "no uri"}, "'no uri' is not the URI of a store"),
        ("memory://x", "mapping"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_by_name(control, pool, message):
    with pytest.raises(errors.ConfigurationError, match=message):
        declare_pools(control, [pool])

    assert list(next(control.pools_controller.list())) == []


def test_a_flavor_that_cannot_work_is_refused_by_name(control):
    with pytest.raises(errors.ConfigurationError, match="'capabilites'"):
        declare_pools(control, flavors=[{"name": "fast", "capabilites": []}])


@pytest.mark.parametrize("prefix", ["", "pool+"])
def test_open_gives_queues_over_declared_pools(stores, prefix, clock):
    driver = kombu_pool.open(
        prefix + stores.uri("opened" + prefix.strip("+")),
        clock=clock,
        pools=[{"name": "a", "uri": stores.uri("a"), "flavor": "fast"}, {"name": "b", "uri": stores.uri("b")}],
        flavors=[{"name": "fast"}],
    )
    driver.queue_controller.create("q", {"_flavor": "fast"})

    post(driver, "q", 1)

    assert isinstance(driver, kombu_pool.DataDriver)
    assert bodies(stores.leaf("a"), "q") == [1]
    driver.close()


def test_open_closes_the_control_store_when_a_declaration_cannot_work(stores, monkeypatch):
    closed = []
    close = Catalog.close
    monkeypatch.setattr(Catalog, "close", lambda self: (closed.append(self), close(self)))

    with pytest.raises(errors.ConfigurationError):
        kombu_pool.open(stores.uri("x"), pools=[{"name": "a"}])

    assert len(closed) == 1


def test_open_names_what_it_does_not_know(stores):
    with pytest.raises(errors.ConfigurationError, match="nonsense"):
        kombu_pool.open("nonsense://x")


def test_the_package_offers_what_it_says():
    for name in kombu_pool.__all__:
        assert getattr(kombu_pool, name) is not None
    assert set(kombu_pool.__all__) <= set(dir(kombu_pool))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = kombu_pool.nonsense


@pytest.mark.parametrize("declared", [{"flavors": ["idle"]}, {}])
def test_a_flavor_of_queues_without_a_pool_is_found_with_the_settings(control, stores, declared):
    flavors = [{"name": name} for name in declared.get("flavors", [])]
    declare_pools(control, [{"name": "f", "uri": stores.uri("f"), "flavor": "fast"}], flavors)

    with pytest.raises(errors.ConfigurationError) as raised:
        require_pools_of(control, {"quick.*": "fast", "slow.*": "idle"})

    for text in ("queue_flavors", "'slow.*'", "'idle'", "'fast'"):
        assert text in str(raised.value)


def test_flavors_of_queues_that_have_pools_are_accepted(control, stores):
    declare_pools(control, [{"name": "f", "uri": stores.uri("f"), "flavor": "fast", "weight": 0}])

    require_pools_of(control, {"quick.*": "fast", "plain.*": ""})


def test_a_flavor_of_queues_that_only_another_project_has_is_refused(control, stores):
    declare_pools(control, [{"name": "f", "uri": stores.uri("f"), "flavor": "fast"}], project="other")

    with pytest.raises(errors.ConfigurationError, match="flavors with pools: none"):
        require_pools_of(control, {"quick.*": "fast"})
