"""What a declaration costs: round trips that a worker with a hundred queues waits for at its start."""

from __future__ import annotations

import pytest
from kombu import Connection, Exchange, Queue

from tests.support.servers.redis_server import Server

#: One each for the exchange, for the queue's life and declaration, its messages, its consumers, and its binding.
ROUND_TRIPS = 5


@pytest.fixture
def server():
    with Server() as server:
        yield server


def round_trips(server, work):
    """Return how many requests the server read from its clients during ``work``."""
    client = server.client()
    before = client.info("stats")["total_reads_processed"]
    work()
    return client.info("stats")["total_reads_processed"] - before - 1


def declare(channel, name):
    Queue(name, Exchange("celery", "direct"), routing_key=name)(channel).declare()


def test_declaring_a_queue_that_exists_costs_five_round_trips(server):
    with Connection(f"pool+{server.uri()}") as first:
        for name in ("q", "other"):
            declare(first.default_channel, name)
    with Connection(f"pool+{server.uri()}", transport_options={"claim_ttl": 61}) as second:
        channel = second.default_channel
        declare(channel, "other")  # reads the rows of the pools

        assert round_trips(server, lambda: declare(channel, "q")) == ROUND_TRIPS
        assert round_trips(server, lambda: declare(channel, "q")) == ROUND_TRIPS
