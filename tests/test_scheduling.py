"""The tests that take longest begin first, and a long module is split by store."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.support.scheduling import SECONDS, LongestFirst, scope_of


class Node:
    """Stands for a process of xdist."""

    def __init__(self):
        self.sent = []

    def send_runtest_some(self, numbers):
        self.sent += numbers


@pytest.mark.parametrize(
    ("test", "scope"),
    [
        ("tests/celery/test_pools.py::test_a[redis-cluster-prefork]", "tests/celery/test_pools.py redis-cluster"),
        ("tests/celery/test_pools.py::test_a[redis-prefork]", "tests/celery/test_pools.py redis"),
        ("tests/celery/test_passwords.py::test_a", "tests/celery/test_passwords.py"),
        ("tests/transport/test_queues.py::test_a[sqlite-declaration0]", "tests/transport/test_queues.py sqlite"),
        ("tests/transport/test_leaks.py::test_a[closed-mongodb]", "tests/transport/test_leaks.py mongodb"),
        ("tests/drivers/redis/cluster/test_nodes.py::test_a[redis-2]", "tests/drivers/redis/cluster/test_nodes.py"),
        ("tests/peers/kombu/test_common.py::TestA_redis::test_a", "tests/peers/kombu/test_common.py::TestA_redis"),
        ("tests/peers/kombu/test_common.py::TestA_amqp::test_a", "tests/peers/kombu over RabbitMQ"),
        ("tests/conformance/test_contract.py::test_a::test_b[x::y]", "tests/conformance/test_contract.py::test_a"),
    ],
)
def test_a_unit_is_a_module_or_a_module_over_one_store(test, scope):
    assert scope_of(test) == scope


def test_few_long_tests_begin_before_many_short_ones():
    node = Node()
    tests = [f"tests/pooling/test_cache.py::test_short[{number}]" for number in range(20)]
    tests.append("tests/celery/test_leftovers.py::test_long[sqlite]")
    scheduler = LongestFirst(SimpleNamespace(getvalue=lambda _: ["popen"]))
    scheduler.registered_collections[node] = tests
    for test in tests:
        scheduler.workqueue.setdefault(scope_of(test), {})[test] = False

    scheduler._assign_work_unit(node)

    assert node.sent == [20]
    assert list(scheduler.workqueue) == ["tests/pooling/test_cache.py"]


def test_every_expectation_is_of_a_module_or_folder_that_exists(pytestconfig):
    root = pytestconfig.rootpath
    paths = [path.relative_to(root).as_posix() + "/" * path.is_dir() for path in (root / "tests").rglob("*")]

    beginnings = [beginning.partition("::")[0] for beginning in SECONDS]
    assert [start for start in beginnings if not any(path.startswith(start) for path in paths)] == []
