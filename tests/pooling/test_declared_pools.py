from __future__ import annotations

from contextlib import closing

import pytest

import kombu_pool
from kombu_pool import drivers, errors
from kombu_pool.pooling import (
    Catalog,
    add_pool,
    compare_stores,
    declare_pools,
    pool_declarations,
    require_pools_of,
    store_comparison,
)
from kombu_pool.pooling.pool_declarations import is_same_place
from tests.support.pooling.switchable_stores import bodies, post
from tests.support.servers.redis_server import Server


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


@pytest.fixture(autouse=True)
def warnings(caplog, monkeypatch):
    """The warnings of differences; each test starts as a process does."""
    monkeypatch.setattr(pool_declarations, "_warned", set())
    caplog.set_level("WARNING", pool_declarations.logger.name)
    return lambda: [record.getMessage() for record in caplog.records if record.name == pool_declarations.logger.name]


@pytest.mark.parametrize("changed", [{"weight": 6}, {"flavor": "slow"}, {"flavor": None}, {"options": {"db": 1}}])
def test_a_pool_that_differs_stays_as_it_is_and_one_warning_says_how(control, stores, warnings, changed):
    declared = {"name": "f", "uri": stores.uri("f"), "flavor": "fast", "weight": 5}
    declare_pools(control, [declared])
    before = control.pools_controller.get("f", detailed=True)

    for _ in range(3):
        declare_pools(control, [{**declared, **changed}])

    (warning,) = warnings()
    ((key, value),) = changed.items()
    assert f"{key} {[] if key == 'options' else before[key]!r} (settings: " in warning
    assert key == "options" or f"(settings: {value!r})" in warning
    assert control.pools_controller.get("f", detailed=True) == before


def test_what_the_settings_leave_open_is_no_difference(control, stores, warnings):
    declare_pools(control, [{"name": "f", "uri": stores.uri("f"), "flavor": "fast"}])
    control.pools_controller.update("f", weight=0, options={"max_message_size": 9})

    declare_pools(control, [{"name": "f", "uri": stores.uri("f")}], [{"name": "fast"}])

    assert warnings() == []


def test_a_pool_that_was_removed_is_not_created_again(control, stores, warnings):
    declare_pools(control, [{"name": "a", "uri": stores.uri("a")}])
    control.pools_controller.delete("a")

    for _ in range(3):
        declare_pools(control, [{"name": "a", "uri": stores.uri("a")}])

    assert not control.pools_controller.exists("a")
    (warning,) = warnings()
    assert f"celery pool add a {stores.uri('a')}" in warning


def test_a_pool_that_was_added_again_is_compared_again(control, stores, warnings):
    declared = {"name": "a", "uri": stores.uri("a"), "flavor": "fast"}
    add_pool(control, declared, "p")
    control.flavors_controller.delete("fast", "p")
    control.pools_controller.delete("a")

    add_pool(control, declared, "p")
    declare_pools(control, [declared], project="p")

    assert control.pools_controller.exists("a")
    assert control.flavors_controller.exists("fast", "p")
    assert warnings() == []


def test_another_store_of_a_pool_with_queues_is_refused(control, stores):
    declare_pools(control, [{"name": "a", "uri": stores.uri("a")}])
    control.catalogue_controller.insert("some project", "q", "a")

    with pytest.raises(errors.ConfigurationError, match=r"'a'.* has 1 queues.*celery pool set a --weight 0"):
        declare_pools(control, [{"name": "a", "uri": stores.uri("b")}])

    assert control.pools_controller.get("a")["uri"] == stores.uri("a")


def test_another_store_of_a_pool_without_queues_has_no_effect(control, stores, warnings):
    declare_pools(control, [{"name": "a", "uri": stores.uri("a")}])

    declare_pools(control, [{"name": "a", "uri": stores.uri("b")}])

    assert control.pools_controller.get("a")["uri"] == stores.uri("a")
    assert stores.uri("b") in warnings()[0]


def test_another_password_of_a_pool_with_queues_is_a_difference_that_is_not_shown(control, warnings):
    declare_pools(control, [{"name": "a", "uri": "redis://:hunter2@h/1"}])
    control.catalogue_controller.insert(None, "q", "a")

    declare_pools(control, [{"name": "a", "uri": "redis://:hunter3@h/1", "options": {"sentinel_password": "hunter4"}}])

    (warning,) = warnings()
    assert "hunter" not in warning
    assert "redis://:**@h/1" in warning


def test_other_capabilities_of_a_flavor_have_no_effect(control, warnings):
    declare_pools(control, flavors=[{"name": "fast", "capabilities": ["FIFO"]}])

    for _ in range(3):
        declare_pools(control, flavors=[{"name": "fast", "capabilities": ["AOD"]}])

    assert control.flavors_controller.get("fast", detailed=True)["capabilities"] == ["FIFO"]
    assert len(warnings()) == 1


@pytest.mark.parametrize(
    ("uri", "other", "is_same"),
    [
        ("redis://:a@h/1", "redis://u:b@h/1?socket_timeout=9", True),
        ("redis://h/1", "redis://h/2", False),
        ("redis://h/1", "redis://i/1", False),
        ("redis://h?db=1", "redis://h?db=2", False),
        ("redis://h?key_prefix=a", "redis://h", False),
        ("mongodb://h/x", "mongodb://h/x?w=3", True),
        ("sqlite:////a.db", "sqlite:////a.db?synchronous=NORMAL", True),
        ("sqlite:////a.db", "sqlite:////b.db", False),
        ("sqlite:////a.db", "memory:////a.db", False),
    ],
)
def test_credentials_and_settings_of_a_client_lead_to_no_other_store(uri, other, is_same):
    assert is_same_place(uri, other) is is_same


def test_a_store_with_the_identity_of_the_pool_is_its_store(control, monkeypatch):
    with Server() as server, Server() as another:
        with closing(drivers.open_data(server.uri())) as store:
            store.queue_controller.create("q")
        with closing(drivers.open_data(another.uri())) as store:
            store.queue_controller.create("q")
        pool = {"name": "a", "uri": server.uri(), "options": {}}

        def compared(uri):
            return compare_stores(control, pool, uri, None)

        with monkeypatch.context() as patched:
            # Equal identities cost no look at the queues.
            patched.setattr(store_comparison, "_has_queues_of", None)
            assert compared(server.socket_uri()).is_same
        assert not compared(another.uri()).is_same
        assert not compared(f"{server.uri()}?key_prefix=unused").is_same
        assert not server.client().keys("unused*")
        server.kill()
        assert compared(another.uri()).is_unreachable


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
