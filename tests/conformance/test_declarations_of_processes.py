"""Processes that start together and declare their pools all succeed: over the stores that processes share."""

from __future__ import annotations

from contextlib import closing

import pytest

from kombu_pool import drivers
from kombu_pool.pooling import declare_pools
from kombu_pool.testing import page_of
from tests.support.conformance.declaring_process import SHARED, declare
from tests.support.conformance.stores import STORES
from tests.support.simultaneous import race

PROCESSES = 50


@pytest.fixture(params=["sqlite", "redis", "redis-cluster", "mongodb", "mongodb-standalone"])
def uri(request, tmp_path):
    return STORES[request.param].uri(tmp_path, "store")


def test_fifty_processes_that_start_together_declare_their_pools(uri):
    race(declare, *((uri, number) for number in range(PROCESSES)))

    with closing(drivers.open_control(uri)) as control:
        pools, _ = page_of(control.pools_controller.list(limit=0))
        flavors, _ = page_of(control.flavors_controller.list(limit=0))
    own = [f"own-{number}" for number in range(PROCESSES)]
    assert [pool["name"] for pool in pools] == sorted([*SHARED, *own])
    assert [flavor["name"] for flavor in flavors] == sorted(["shared", *own])


def test_a_pool_and_a_flavor_that_an_operator_adds_meanwhile_stay_as_they_are(uri, monkeypatch):
    with closing(drivers.open_control(uri)) as control, closing(drivers.open_control(uri)) as operator:
        add_after(monkeypatch, control.pools_controller, lambda: operator.pools_controller.create("a", 0, "memory://a"))
        add_after(
            monkeypatch,
            control.flavors_controller,
            lambda: operator.flavors_controller.create("fast", capabilities=["AOD"]),
        )

        declare_pools(control, [{"name": "a", "uri": "memory://a", "weight": 9}], [{"name": "fast"}])

        assert control.pools_controller.get("a")["weight"] == 0
        assert control.flavors_controller.get("fast", detailed=True)["capabilities"] == ["AOD"]


def test_a_pool_that_an_operator_removes_meanwhile_stays_removed(uri, monkeypatch):
    with closing(drivers.open_control(uri)) as control, closing(drivers.open_control(uri)) as operator:

        def add_and_remove():
            operator.pools_controller.create("a", 0, "memory://a")
            operator.pools_controller.delete("a")

        add_after(monkeypatch, control.pools_controller, add_and_remove)

        declare_pools(control, [{"name": "a", "uri": "memory://a"}])

        assert not control.pools_controller.exists("a")


def add_after(monkeypatch, controller, add):
    """Let another process ``add`` right after the first look of a controller, which has found nothing."""
    get = controller.get

    def look(*args, **kwargs):
        monkeypatch.setattr(controller, "get", get)
        try:
            return get(*args, **kwargs)
        finally:
            add()

    monkeypatch.setattr(controller, "get", look)
