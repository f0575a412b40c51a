"""Processes that start together and declare their pools all succeed: over the stores that processes share."""

from __future__ import annotations

from contextlib import closing

import pytest

from kombu_pool import drivers
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
