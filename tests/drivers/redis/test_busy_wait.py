"""With busy_wait, a publish polls for its reply before it sleeps."""

from __future__ import annotations

import threading

from kombu_pool import drivers
from tests.support.servers.redis_server import Server
from tests.support.servers.redis_shared import fresh_uri


def test_publishing_works_with_it_and_without():
    for query in ("busy_wait=0", "busy_wait=0.01"):
        driver = drivers.open_data(f"{fresh_uri()}?{query}")
        driver.queue_controller.create("q")
        ids = [driver.message_controller.post("q", [{"ttl": None, "body": n}], None)[0] for n in range(20)]
        assert len(set(ids)) == driver.message_controller.count("q") == 20
        driver.close()


def test_a_reply_that_comes_later_is_awaited():
    with Server() as server:
        driver = drivers.open_data(f"{server.uri()}?busy_wait=0.001")
        driver.queue_controller.create("q")
        server.pause()
        threading.Timer(0.2, server.resume).start()

        assert driver.message_controller.post("q", [{"ttl": None, "body": 1}], None)
        driver.close()
