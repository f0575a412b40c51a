"""Transactions that an outage breaks off, and that conflict with others.

The server keeps the broken ones open, which would block their own next try.
"""

from __future__ import annotations

import threading

import pymongo
import pytest

from kombu_pool import drivers, errors
from kombu_pool.model import IdempotencyKey
from kombu_pool.testing import QueueHandle
from tests.support.servers import mongodb
from tests.support.servers.proxy import Proxy

#: Options with short timeouts, in milliseconds. A connection of the client's monitor that was made during the outage is
#: lost, and replaced after its timeout: a server is looked for longer than that.
SHORT_TIMEOUTS = "directConnection=true&socketTimeoutMS=3000&serverSelectionTimeoutMS=8000&connectTimeoutMS=3000"

#: Seconds, far longer than a transaction takes and far less than a post waits for another.
WHILE = 0.5

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


@pytest.fixture
def uri():
    return mongodb.fresh_uri()


def test_a_post_of_several_waits_for_another_process_that_commits_the_same_one(uri):
    driver = drivers.open_data(uri)
    queue = QueueHandle(driver, "q", None)
    queue.create()
    idempotency_key = IdempotencyKey(b"producer", 1)
    ids = queue.post("a", "b", idempotency_key=idempotency_key)
    with pymongo.MongoClient(uri) as client, client.start_session() as session:
        messages = client.get_default_database()["kombu_pool_messages"]
        stored = list(messages.find())
        messages.delete_many({})
        session.start_transaction()
        messages.insert_many(stored, session=session)
        threading.Timer(WHILE, session.commit_transaction).start()

        repeated = queue.post("a", "b", idempotency_key=idempotency_key)

    assert repeated == ids
    assert queue.free() == ["a", "b"]
    driver.close()
