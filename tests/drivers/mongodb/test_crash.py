"""A replica set of three loses its primary again and again: confirmed publishes are on the disks of a majority."""

from __future__ import annotations

import pytest

import kombu_pool
from tests.support.kombu_clients import PREFETCH, Clients
from tests.support.limits import LIMIT, LONG_TEST
from tests.support.servers.mongodb import ReplicaSet
from tests.support.transport.traffic import eventually

PUBLISHERS, CONSUMERS, CRASHES = 4, 2, 3
#: Time within which a dead primary is replaced and all clients have found the new one, in seconds.
FAILOVER = 2 * LIMIT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONG_TEST)]


@pytest.fixture
def servers():
    with ReplicaSet(members=3) as servers:
        yield servers


@pytest.fixture
def clients(servers, tmp_path):
    clients = Clients(tmp_path, f"pool+{servers.uri()}", pause=0.01, claim_ttl=2.0)
    yield clients
    clients.kill()


def left(servers):
    store = kombu_pool.open(servers.uri())
    try:
        return store.queue_controller.stats("q")["messages"]["total"]
    finally:
        store.close()


def test_what_was_published_is_consumed_whichever_primary_dies(servers, clients):
    clients.start(PUBLISHERS, CONSUMERS)

    for _ in range(CRASHES):
        killed = servers.primary
        killed.kill()
        clients.wait_for_all(FAILOVER)
        killed.restart()
        servers.wait_until_ready()
    clients.stop_publishing()
    sent, retried = clients.all_sent(), clients.all_retried()
    eventually(lambda: sent <= {body for body, _ in clients.all_seen()} and not left(servers), FAILOVER)
    clients.stop_consuming()

    seen = clients.all_seen()
    assert {body for body, _ in seen} == sent
    # A publish that raised an error may have stored its message.
    assert all(times <= 1 + retried[body] for (body, _), times in seen.items())
    # Redelivered are only messages that a consumer had not acknowledged when the primary died.
    assert sum(count > 1 for _, count in seen) <= CRASHES * CONSUMERS * PREFETCH
