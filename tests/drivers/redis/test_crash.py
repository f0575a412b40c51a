"""Repeated crashes of a Redis that writes each command to its disk before it replies."""

from __future__ import annotations

import pytest

import kombu_pool
from tests.support.kombu_clients import PREFETCH, Clients
from tests.support.limits import LONG_TEST
from tests.support.servers.redis_server import Server
from tests.support.transport.traffic import eventually

PUBLISHERS, CONSUMERS, CRASHES = 10, 4, 4

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONG_TEST)]


@pytest.fixture
def server():
    with Server(appendonly="yes", appendfsync="always") as server:
        yield server


@pytest.fixture
def clients(server, tmp_path):
    clients = Clients(tmp_path, f"pool+{server.uri()}", pause=0.01, claim_ttl=2.0)
    yield clients
    clients.kill()


def remaining(server):
    store = kombu_pool.open(server.uri())
    try:
        return store.queue_controller.stats("q")["messages"]["total"]
    finally:
        store.close()


def test_what_was_published_is_consumed_and_everybody_goes_on(server, clients):
    clients.start(PUBLISHERS, CONSUMERS)

    for number in range(CRASHES):
        server.kill()
        if number % 2:
            clients.wait_for_errors()
        server.restart()
        clients.wait_for_all()
    clients.stop_publishing()
    sent, retried = clients.all_sent(), clients.all_retried()
    eventually(lambda: sent <= {body for body, _ in clients.all_seen()} and not remaining(server))
    clients.stop_consuming()

    seen = clients.all_seen()
    assert {body for body, _ in seen} == sent
    # A publish that failed may have been stored.
    assert all(times <= 1 + retried[body] for (body, _), times in seen.items())
    # Redelivered are only messages that a consumer held, and could not acknowledge, when Redis crashed.
    assert sum(claim_count > 1 for _, claim_count in seen) <= CRASHES * CONSUMERS * PREFETCH
