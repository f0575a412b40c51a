"""Posts through a proxy that loses the store's answer, while another connection consumes the message."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from celery import group

from kombu_pool.drivers.redis.scripts import script
from tests.support.celery.application import application
from tests.support.servers import mongodb
from tests.support.servers.mongodb.program import require_mongod, version_of
from tests.support.servers.proxy import Proxy
from tests.support.servers.redis_server import Server
from tests.support.transport.traffic import count, declare, take_all

if TYPE_CHECKING:
    from collections.abc import Callable

LETTER = {"queue": "q", "reason": "rejected", "time": 1.0, "count": 1}
#: Kombu's retry policy of these tests.
RETRY = {"max_retries": 5, "interval_start": 0.0, "interval_step": 0.0}


@dataclass
class Wire:
    """A store: its URI without and with the proxy, and bytes by which the proxy recognizes requests.

    Those of a post of one message, and of the last request of a post of several.
    """

    proxy: Proxy
    plain: str
    tapped: str
    request: bytes
    end: bytes

    def cut(self, times: int, then: Callable[[], object]) -> None:
        self.proxy.lose_answer_to(self.request, times, then)


@pytest.fixture(scope="module")
def redis_server():
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def replica_set():
    with mongodb.ReplicaSet() as servers:
        yield servers


@pytest.fixture(scope="module")
def standalone():
    with mongodb.MongoServer() as server:
        yield server


def _redis(request):
    server = request.getfixturevalue("redis_server")
    server.ask("FLUSHALL")
    proxy = Proxy(server.port)
    post = script("post").sha
    return Wire(proxy, f"pool+{server.uri()}", f"pool+{proxy.uri}", post, post)


def _mongodb(port, name, post, end):
    proxy = Proxy(port)
    uris = [f"pool+mongodb://127.0.0.1:{each}/{name}?directConnection=true" for each in (port, proxy.port)]
    return Wire(proxy, *uris, post, end)


def _to_messages(command):
    """Return the bytes of a request with this command on messages."""
    return command + b"\x00\x14\x00\x00\x00kombu_pool_messages"


def _replica_set(request):
    port = request.getfixturevalue("replica_set").primary.port
    post = b"insert" if version_of(require_mongod()) >= (5, 0) else b"findAndModify"
    return _mongodb(port, _database_for(request), _to_messages(post), b"commitTransaction")


def _standalone(request):
    port = request.getfixturevalue("standalone").port
    return _mongodb(port, _database_for(request), _to_messages(b"insert"), _to_messages(b"update"))


def _database_for(request):
    return f"{request.node.name[:30]}{zlib.crc32(request.node.name.encode()):x}".replace("[", "-")


@pytest.fixture(params=[_redis, _replica_set, _standalone], ids=["redis", "mongodb", "mongodb-standalone"])
def wire(request):
    wire = request.param(request)
    with wire.proxy:
        yield wire


@pytest.fixture
def consumer(wire, opened):
    """The channel of a connection without the proxy, which consumes from the queue q."""
    channel = opened(wire.plain, ack_delay=0.003).channel()
    declare(channel, "q")
    return channel


# PyMongo may retry by itself; the client of a Redis must not.
@pytest.mark.parametrize("times", [1, 3])
def test_what_was_consumed_before_it_is_published_again_is_not_stored_again(wire, consumer, opened, times):
    consumed = []
    producer = opened(wire.tapped).Producer()
    producer.publish("warm", routing_key="q")
    take_all(consumer, "q")
    wire.cut(times, lambda: consumed.extend(take_all(consumer, "q")))

    producer.publish("a", routing_key="q", retry=True, retry_policy=RETRY)

    assert consumed == ["a"]
    assert count(consumer, "q") == 0


def test_what_still_waits_is_not_stored_again_either(wire, consumer, opened):
    producer = opened(wire.tapped).Producer()
    producer.publish("a", routing_key="q")
    wire.cut(3, lambda: None)

    producer.publish("b", routing_key="q", retry=True, retry_policy=RETRY)

    assert take_all(consumer, "q") == ["a", "b"]


def test_a_task_that_celery_sends_is_sent_once(wire, consumer, tmp_path):
    app = application(wire.tapped, tmp_path, task_default_queue="q", task_create_missing_queues=True)
    add = app.tasks["add"]
    add.delay(1, 1)
    take_all(consumer, "q")
    consumed = []
    wire.cut(2, lambda: consumed.extend(take_all(consumer, "q")))

    add.delay(2, 3)

    assert [body[0] for body in consumed] == [[2, 3]]
    assert count(consumer, "q") == 0
    app.close()
    for pool in (app.producer_pool, app.pool):
        pool.force_close_all()


@pytest.mark.parametrize("what", ["post", "end"])
def test_the_tasks_of_a_group_are_sent_once(wire, consumer, tmp_path, what):
    app = application(wire.tapped, tmp_path, task_default_queue="q", task_create_missing_queues=True)
    add = app.tasks["add"]
    add.delay(1, 1)
    take_all(consumer, "q")
    consumed = []
    request = wire.request if what == "post" else wire.end
    wire.proxy.lose_answer_to(request, 3, lambda: consumed.extend(take_all(consumer, "q")))

    group(add.s(number, 0) for number in range(20)).apply_async()

    consumed += take_all(consumer, "q")
    assert [body[0] for body in consumed] == [[number, 0] for number in range(20)]
    app.close()
    for pool in (app.producer_pool, app.pool):
        pool.force_close_all()


@pytest.mark.parametrize("what", ["post", "end"])
def test_dead_letters_are_given_back_once(wire, consumer, opened, what):
    declare(consumer, "dead")
    data, seen = (opened(url).channel().connection.broker.data for url in (wire.tapped, wire.plain))
    seen.message_controller.post("dead", [{"ttl": None, "body": n, "dead_letter": LETTER} for n in range(3)], None)
    request = wire.request if what == "post" else wire.end
    # PyMongo retries this request by itself.
    times = 2 if request == b"commitTransaction" else 1
    taken = []

    def cut(queue, body):
        wire.proxy.lose_answer_to(request, times, lambda: taken.extend(seen.message_controller.pop("q", 10)))
        return body

    data.dead_letter_hooks.restore_address = cut
    done = data.redrive("dead")

    taken += seen.message_controller.pop("q", 10)
    assert (done.moved, done.remaining) == ({"q": 3}, {})
    assert [message["body"] for message in taken] == [0, 1, 2]
    assert seen.message_controller.count("dead") == 0
