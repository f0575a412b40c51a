"""While replicas are missing, publishes of ordinary messages fail; nothing else waits for replicas."""

from __future__ import annotations

from contextlib import closing, suppress

import pytest
from kombu import Connection, Producer, Queue
from kombu.pidbox import Mailbox

from kombu_pool import errors
from tests.support.celery.site import Site
from tests.support.celery.worker import eventually
from tests.support.transport.traffic import consume

MISSING = "min_replicas=1&min_replicas_timeout=0.05"
METADATA = {"ttl": 60, "grace": 60}


def missing_replicas(uri):
    return f"{uri}?{MISSING}"


def test_only_posts_of_ordinary_messages_wait_for_replicas(uri, open_queue):
    plain = open_queue(uri, metadata={"_dead_letter_queue": "q", "_max_length": 100})
    plain.post("a", "b", "c", "d")
    queue = open_queue(missing_replicas(uri), "other")
    messages = queue.driver.message_controller

    claim, held = queue.driver.claim_controller.create("q", METADATA, limit=3)
    assert queue.driver.claim_controller.renew([(None, "q", claim)], METADATA) == []
    messages.delete("q", held[0]["id"], claim=claim)
    assert messages.delete_claimed("q", [(held[1]["id"], claim)]) == []
    assert messages.reject("q", [(held[2]["id"], claim)]) == []
    messages.post("q", [{"ttl": None, "body": "mail", "transient": True}], None)
    queue.driver.queue_controller.set_metadata("other", {"a": 1})
    queue.driver.gc()
    messages.purge("q")
    queue.driver.queue_controller.delete("other")

    for name in ("q", "another"):
        queue.driver.queue_controller.create(name)
        with pytest.raises(errors.ConnectionError, match="only 0 of min_replicas=1"):
            messages.post(name, [{"ttl": None, "body": "ordinary"}], None)
        assert [message["body"] for message in messages.pop(name, 10)] == ["ordinary"]


def test_a_connection_consumes_and_answers_without_replicas(uri):
    with Connection(f"pool+{uri}") as plain, plain.channel() as channel:
        Queue("q")(channel).declare()
        for number in range(40):
            Producer(channel).publish(number, routing_key="q")
    with Connection(f"pool+{missing_replicas(uri)}") as connection, connection.channel() as channel:
        heard = []
        node = Mailbox("test", accept=["json"])(connection).Node("node", channel=channel)
        node.handlers["heard"] = lambda state: heard.append(True)
        with node.listen():
            inbox = consume(channel, "q", ack=True)
            inbox.wait_for(40)
            Mailbox("test", accept=["json"])(connection).cast(["node"], "heard")
            eventually(lambda: drained(connection, heard))

        with pytest.raises(connection.connection_errors, match="min_replicas"):
            Producer(channel).publish("x", routing_key="q")


def drained(connection, heard):
    with suppress(TimeoutError):
        connection.drain_events(timeout=0.1)
    return heard


@pytest.mark.celery
def test_a_worker_starts_and_works_without_replicas(uri, tmp_path):
    with closing(Site(tmp_path, f"pool+{uri}")) as site:
        results = [site.send("add", number, 1) for number in range(40)]
        site.broker = f"pool+{missing_replicas(uri)}"

        worker = site.worker("--pool=solo")

        assert [site.answer(result) for result in results] == [number + 1 for number in range(40)]
        assert site.inspect(worker).ping() == {worker.name: {"ok": "pong"}}
        eventually(lambda: site.counts() == (0, 0))
