"""Sentinels are no messages, and interfere with no operation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from kombu_pool import drivers
from kombu_pool.drivers.mongodb import scan_sentinels
from kombu_pool.testing import QueueHandle, ids
from tests.support.servers import mongodb

THREADS = 8


@pytest.fixture
def uri():
    return mongodb.fresh_uri()


def test_several_may_put_up_the_first_fence_at_the_same_time(queue, driver, database):
    messages = driver._store.messages
    scopes = [{"p": "/p", "q": "queue", "i": bytes((number,)) * 12} for number in range(50)]

    with ThreadPoolExecutor(THREADS) as threads:
        for scope in scopes:
            list(
                threads.map(
                    lambda until, scope=scope: scan_sentinels.move_due_sentinel(messages, scope, until), range(THREADS)
                )
            )

    assert database["kombu_pool_messages"].count_documents({"s": 1}) == len(scopes)


def test_a_return_to_a_queue_that_is_long_gone_leaves_no_sentinel(queue, uri, clock, database):
    for _ in range(15):
        queue.post(*range(10))
        held = queue.claim()
        queue.delete_claimed([(one, held.id) for one in ids(held)])
    other = drivers.open_data(uri, clock=clock)
    QueueHandle(other, queue.name, queue.project).drop()
    clock.advance(200)
    other.gc()

    assert queue.claim().id is None

    assert database["kombu_pool_messages"].count_documents({}) == 0
    other.close()
