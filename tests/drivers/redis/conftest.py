from __future__ import annotations

import pytest

from kombu_pool import drivers
from kombu_pool.testing import QueueHandle
from tests.support.redis.monitor import commands_during
from tests.support.servers.redis_shared import fresh_uri, shared_server


@pytest.fixture
def uri():
    """The URI of an empty database."""
    return fresh_uri()


@pytest.fixture
def client(uri):
    """A redis-py client of that database."""
    return shared_server().client(int(uri.rpartition("/")[2]))


@pytest.fixture
def commands(client):
    """Return the commands that the server runs in this database during a call: ``commands(work)``."""
    return lambda work: commands_during(client, work)


@pytest.fixture
def open_driver():
    """Open a message store, which is closed at the end: ``open_driver(uri)``."""
    opened = []

    def make(where, **options):
        opened.append(drivers.open_data(where, **options))
        return opened[-1]

    yield make
    for driver in opened:
        driver.close()


@pytest.fixture
def open_queue(open_driver):
    """Open a message store and create a queue in it: ``open_queue(uri)``."""

    def make(where, name="q", project=None, metadata=None, **options):
        driver = open_driver(where, **options)
        driver.queue_controller.create(name, metadata, project)
        return QueueHandle(driver, name, project)

    return make


@pytest.fixture
def queue(uri, open_queue):
    """An empty queue."""
    return open_queue(uri)
