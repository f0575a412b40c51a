"""A process that declares pools at the moment when many others do."""

from __future__ import annotations

from contextlib import closing

from kombu_pool import drivers
from kombu_pool.pooling import declare_pools
from tests.support.simultaneous import meet

SHARED = ["a", "b"]

for scheme in ("sqlite", "redis", "mongodb"):
    drivers.load(scheme)  # before the forks, which would all load it at once


def declare(uri: str, number: int) -> None:
    """Declare the pools and the flavor that all processes share, and a pool and a flavor of this one."""
    pools = [{"name": name, "uri": f"memory://{name}", "flavor": "shared"} for name in [*SHARED, f"own-{number}"]]
    flavors = [{"name": "shared", "capabilities": ["FIFO"]}, {"name": f"own-{number}"}]
    with closing(drivers.open_control(uri)) as control:
        control.pools_controller.exists("a")
        meet()
        declare_pools(control, pools, flavors)
