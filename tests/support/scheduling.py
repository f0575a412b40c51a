"""Orders the work of ``pytest -n N --dist loadscope``: the units that are expected to take longest begin first.

xdist begins with the units of most tests. Modules of few tests, each of which waits for seconds, would begin last: one
process would still run them when the others have ended.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

#: Beginning of a node id -> the expected seconds of each of its tests; the first that fits counts. Only the order of
#: the units depends on them. Tests of killed and restarted programs wait longest.
SECONDS = {
    "tests/celery/test_leftovers.py": 7,
    "tests/celery/test_outages.py": 8,
    "tests/celery/test_commands.py": 3,
    "tests/celery/test_leases.py": 8,
    "tests/celery/test_lost_queues.py": 8,
    "tests/celery/test_neighbours.py": 6,
    "tests/celery/test_redis_stall.py": 25,
    "tests/celery/test_stopping.py": 7,
    "tests/celery/test_worker_options.py": 4,
    "tests/celery/": 1,
    "tests/conformance/test_contract.py::test_against_memory": 5,
    "tests/conformance/test_contract.py::test_watch": 0.3,
    "tests/conformance/test_contract.py::test_expired_dead_letters": 0.3,
    "tests/conformance/test_contract.py::test_redrive": 0.25,
    "tests/conformance/test_idempotency_of_processes.py": 2,
    "tests/docs/": 6,
    "tests/drivers/mongodb/test_crash.py": 35,
    "tests/drivers/mongodb/test_many_queues.py": 1,
    "tests/drivers/redis/test_sentinel.py": 20,
    "tests/drivers/redis/test_half_open.py": 4,
    "tests/drivers/": 0.5,
    "tests/examples/": 2,
    "tests/model/": 12,
    "tests/peers/kombu": 1.5,
    "tests/peers/zaqar/test_storage.py::ClaimControllerTest": 3,
    "tests/peers/": 0.5,
    "tests/pooling/test_redrive.py": 2,
    "tests/servers/": 1,
    "tests/test_benchmarks.py": 4,
    "tests/test_testing.py": 8,
    "tests/transport/test_killed_": 4,
    "tests/transport/test_leaks.py": 8,
    "tests/transport/test_leases.py": 6,
    "tests/transport/test_lives_of_processes.py": 13,
    "tests/transport/test_many_processes.py": 5,
    "tests/transport/test_green.py": 5,
    "tests/transport/": 0.4,
}
#: The expected seconds of each other test.
OTHERS = 0.1
#: Folders whose modules are split by store, so that not one process runs a long module over every store. Their tests
#: share nothing across stores.
SPLIT = ("tests/celery/", "tests/transport/")
#: The tests of Kombu over RabbitMQ, which takes ten seconds to start: one process runs all of them.
_RABBITMQ = re.compile(r"tests/peers/kombu/.*_amqp$")
_STORE = re.compile(r"(?<=[\[-])(memory|sqlite|redis-cluster|redis|mongodb)(?=[\]-])")


class LongestFirst(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Keeps the tests of a module in one process, or those of a module over one store."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        longest = max(self.workqueue, key=lambda scope: len(self.workqueue[scope]) * seconds_of(scope))
        self.workqueue.move_to_end(longest, last=False)
        super()._assign_work_unit(node)


@functools.cache
def scope_of(nodeid: str) -> str:
    """Return the name of the unit to which a test belongs."""
    test, bracket, parameters = nodeid.partition("[")
    module = test.rpartition("::")[0]
    if _RABBITMQ.match(module):
        return "tests/peers/kombu over RabbitMQ"
    store = _STORE.search(bracket + parameters) if nodeid.startswith(SPLIT) else None
    return f"{module} {store[0]}" if store else module


@functools.cache
def seconds_of(scope: str) -> float:
    """Return the expected seconds of each test of a unit."""
    return next((seconds for beginning, seconds in SECONDS.items() if scope.startswith(beginning)), OTHERS)
