"""Fences are no messages, and in nobody's way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from kombu_pool.drivers.mongodb import fences
from tests.servers import mongodb

THREADS = 8


@pytest.fixture
def uri():
    return mongodb.fresh_uri()


def test_several_may_put_up_the_first_fence_at_the_same_time(queue, driver, database):
    messages = driver._store.messages
    scopes = [{"p": "/p", "q": "queue", "i": bytes((number,)) * 12} for number in range(50)]

    with ThreadPoolExecutor(THREADS) as threads:
        for scope in scopes:
            list(threads.map(lambda until, scope=scope: fences.move_ahead(messages, scope, until), range(THREADS)))

    assert database["kombu_pool_messages"].count_documents({"s": 1}) == len(scopes)
