"""A repeated post is on the replicas when it returns, as any post is."""

from __future__ import annotations

import pytest

from kombu_pool import errors
from kombu_pool.model import IdempotencyKey
from tests.support.servers.redis_server import Server
from tests.support.servers.waiting import first_answer

FIRST = IdempotencyKey(b"me", 1)


def test_a_post_that_no_replica_confirmed_is_stored_once_and_waits_for_one_again(open_queue):
    with Server(repl_diskless_sync_delay=0) as master:
        queue = open_queue(master.uri())
        careful = open_queue(f"{master.uri()}?min_replicas=1&min_replicas_timeout=3")
        for _ in range(2):
            with pytest.raises(errors.ConnectionError, match="min_replicas"):
                careful.post("a", idempotency_key=FIRST)

        with Server(replicaof=f"127.0.0.1 {master.port}"):
            first_answer(lambda: master.client().info("replication").get("slave0", {}).get("state") == "online")
            ids = careful.post("a", idempotency_key=FIRST)

        assert [message["id"] for message in queue.page()[0]] == ids
