"""Transactions that an outage breaks off: the server keeps them open, which would block their own next try."""

from __future__ import annotations

import pytest

from kombu_pool import drivers, errors
from kombu_pool.model import IdempotencyKey
from kombu_pool.testing import QueueHandle
from tests.support.servers import mongodb
from tests.support.servers.proxy import Proxy

#: Options with timeouts of three seconds.
SHORT_TIMEOUTS = "directConnection=true&socketTimeoutMS=3000&serverSelectionTimeoutMS=3000&connectTimeoutMS=3000"

INSERT = b"insert\x00\x14\x00\x00\x00kombu_pool_messages"


@pytest.fixture(scope="module")
def replica_set():
    with mongodb.ReplicaSet() as servers:
        yield servers


@pytest.fixture
def proxy(replica_set):
    with Proxy(replica_set.primary.port) as proxy:
        yield proxy


@pytest.fixture
def queue(proxy):
    driver = drivers.open_data(f"mongodb://127.0.0.1:{proxy.port}/broken_off?{SHORT_TIMEOUTS}")
    made = QueueHandle(driver, "q", None)
    made.create()
    yield made
    driver.close()


def cut_behind(proxy, part):
    """Let the next request with this content pass, and drop its answer and all that follows."""

    def cut():
        proxy.block_open_connections()
        proxy.block()

    proxy.before(part, cut)


def mend(proxy):
    """Let all pass from now on, without what was dropped."""
    proxy.block_open_connections()


def test_a_post_of_several_is_made_again_at_once_when_the_network_carries_again(queue, proxy):
    idempotency_key = IdempotencyKey(b"producer", 1)
    cut_behind(proxy, INSERT)
    with pytest.raises(errors.ConnectionError):
        queue.post("a", "b", idempotency_key=idempotency_key)
    mend(proxy)

    queue.post("a", "b", idempotency_key=idempotency_key)

    assert queue.free() == ["a", "b"]
