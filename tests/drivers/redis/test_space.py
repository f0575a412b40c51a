"""The memory that messages take, and the keys that remain after them: none."""

from __future__ import annotations

import threading

import msgspec
import pytest

from kombu_pool.drivers.redis.keys import queue_keys
from kombu_pool.model import IdempotencyKey
from kombu_pool.storage import IDEMPOTENCY_WINDOW
from kombu_pool.testing import ManualClock, ids, page_of
from tests.support.redis.stored_keys import stored_keys
from tests.support.servers.redis_server import Server

RECORD = 1024
#: Bytes of memory for a message; jemalloc allots 1,280 to the record of a kilobyte alone.
MOST_FOR_A_MESSAGE = 1536
WAITING = 20_000
EACH_ROUND = 2_000


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def fill(uri, open_queue, clock):
    """Create a queue that has an entry in each of its keys."""

    def make(name):
        queue = open_queue(uri, name, metadata={"_max_claim_count": 1, "_dead_letter_queue": "dead"}, clock=clock)
        queue.post(*range(10), ttl=600, client="me")
        queue.post(*range(10), delay=60)
        queue.claim(limit=2, ttl=10)
        clock.advance(10)
        queue.claim(limit=4)
        queue.driver.subscription_controller.create(name, "http://a", 60, {})
        return queue

    return make


def sizes(client):
    """Return how many entries each key has."""
    count = {"hash": client.hlen, "zset": client.zcard, "list": client.llen, "string": client.strlen}
    return {key: count[client.type(key).decode()](key) for key in stored_keys(client)}


def test_a_waiting_message_of_a_kilobyte_takes_half_of_one_besides(open_queue):
    body = bytes(RECORD - 3)
    assert len(msgspec.msgpack.encode(body)) == RECORD
    with Server() as server:
        queue = open_queue(server.uri())
        queue.post("warm up")
        before = server.client().info("memory")["used_memory"]

        for _ in range(WAITING // 100):
            queue.post(*[body] * 100)

        grown = server.client().info("memory")["used_memory"] - before
        assert queue.count() == WAITING + 1
        assert RECORD < grown / WAITING <= MOST_FOR_A_MESSAGE


def test_a_deleted_queue_leaves_nothing_behind(client, fill, open_queue, uri, clock):
    dead = open_queue(uri, "dead", clock=clock)
    queue = fill("q")
    assert len(sizes(client)) > 12
    assert dead.count() == 2

    queue.drop()
    dead.drop()

    assert sizes(client) == {}


def test_a_deleted_queue_leaves_none_of_its_dead_behind(client, uri, open_queue, clock):
    metadata = {"_dead_letter_exchange": "unbound", "_dead_letter_expired": True, "_max_length_bytes": 1000}
    queue = open_queue(uri, metadata=metadata, clock=clock)
    queue.post("a", "b", ttl=10)
    queue.reject(queue.claim(limit=1))
    clock.advance(10)
    assert queue.all() == []
    assert {b"dead", b"dead_letters", b"queues_with_dead"} <= {key.rpartition(b":")[2] for key in sizes(client)}

    queue.drop()

    assert sizes(client) == {}
    assert queue.driver.dead_letter_all() == 0


def test_a_queue_whose_dead_are_buried_keeps_nothing_of_them(client, uri, open_queue, clock):
    dead = open_queue(uri, "dead", clock=clock)
    metadata = {"_dead_letter_queue": "dead", "_dead_letter_expired": True, "_max_length": 2}
    queue = open_queue(uri, metadata=metadata, clock=clock)
    queue.driver.dead_letter_all()
    before = sizes(client)

    for _ in range(3):
        queue.post(*range(10), ttl=10)
        queue.reject(queue.claim(limit=1))
        assert dead.purge() == 9
        clock.advance(10)
        queue.driver.dead_letter_all()
        assert dead.purge() == 1

    assert {key: size for key, size in sizes(client).items() if not key.endswith(b":wakeup")} == before


def test_what_is_done_to_a_deleted_queue_leaves_nothing_behind(client, fill, clock):
    queue = fill("q")
    held = queue.claim(limit=2)
    watch = queue.driver.watch([(None, "q")])
    queue.drop()

    queue.release(held.id, ids(held))
    queue.end(held.id)
    queue.delete_claimed([(message_id, held.id) for message_id in ids(held)])
    queue.delete_all(ids(held))
    queue.delete(ids(held)[0])
    queue.claim()
    queue.pop()
    queue.purge()
    queue.driver.gc()
    watch.wait(0)
    watch.close()

    assert sizes(client) == {}


def test_an_empty_queue_keeps_no_key_of_a_message(client, fill):
    queue = fill("q")
    queue.delete_all(message["id"] for message in queue.page(limit=0, include_claimed=True, include_delayed=True)[0])

    assert queue.claim().id is None
    assert queue.driver.dead_letter_all() == 0
    kept = {key.rpartition(b":")[2] for key in sizes(client)}
    assert kept - {b"wakeup"} == {b"queue", b"queues", b"subscriptions"}


def test_nothing_grows_with_time_when_the_traffic_does_not(client, uri, open_queue, clock):
    queue = open_queue(uri, clock=clock)
    queue.post("the first of all", priority=0)
    after = []

    for _ in range(3):
        queue.post(*range(EACH_ROUND // 2), ttl=100)
        queue.post(*range(EACH_ROUND // 2), delay=1, priority=3)
        clock.advance(1)
        acked = queue.claim(limit=EACH_ROUND // 4)
        queue.delete_claimed([(message_id, acked.id) for message_id in ids(acked)])
        released = queue.claim(limit=EACH_ROUND // 4)
        queue.release(released.id, ids(released)[:100])
        queue.end(released.id)
        queue.claim(limit=EACH_ROUND // 4, ttl=10)
        clock.advance(10)
        late = queue.claim(limit=EACH_ROUND // 2)
        queue.delete_claimed([(message_id, late.id) for message_id in ids(late)])
        assert queue.count() > 1
        clock.advance(100)
        rest = queue.claim(limit=EACH_ROUND)
        queue.delete_claimed([(message_id, rest.id) for message_id in ids(rest)])
        queue.post("the first of all")
        after.append(sizes(client))

    assert after[0] == after[1] == after[2]


def test_350_expired_messages_are_all_collected_from_each_queue(client, uri, open_queue, clock):
    for name in ("a.b", "a/b", "c"):
        open_queue(uri, name, "pro.ject", clock=clock).post(*range(350), ttl=10)
    collector = open_queue(uri, "empty", clock=clock).driver
    clock.advance(10)

    assert collector.gc() == 1050
    assert collector.gc() == 0
    assert all(key.endswith((b":queue", b":queues", b":wakeup")) for key in sizes(client))


def test_a_collection_asks_for_many_queues_at_once(uri, open_queue, commands, clock):
    queues = [open_queue(uri, f"q{number}", clock=clock) for number in range(20)]
    for queue in queues:
        queue.post("a", ttl=10)
    queues[3].driver.subscription_controller.create("q3", "http://a", 10, {})
    clock.advance(10)
    collector = queues[0].driver
    collector.gc()  # the server has the script from now on

    ran = [line.command[0] for line in commands(collector.gc) if not line.by_script]

    assert ran == [b"ZRANGEBYLEX", *[b"EVALSHA"] * 20, *[b"EXISTS"] * 20]
    assert collector.subscription_controller.read(None, "q3")[0] == b""


def test_nothing_dead_is_one_round_trip(uri, open_queue, commands, clock):
    metadata = {"_dead_letter_queue": "dead", "_dead_letter_expired": True}
    for number in range(20):
        open_queue(uri, f"q{number}", metadata=metadata, clock=clock).post("a", ttl=60)
    driver = open_queue(uri, clock=clock).driver
    driver.dead_letter_all()

    ran = [line.command[0] for line in commands(driver.dead_letter_all) if not line.by_script]

    assert ran == [b"EVALSHA"]


def test_a_queue_that_is_created_while_it_is_deleted_is_listed_or_gone(uri, queue, open_driver):
    names = [f"q{number}" for number in range(300)]
    together = threading.Barrier(2)

    def each(act):
        for name in names:
            together.wait()
            act(name)

    controller, other = queue.driver.queue_controller, open_driver(uri).queue_controller
    deleting = threading.Thread(target=each, args=(other.delete,))
    deleting.start()
    each(controller.create)
    deleting.join()

    there = {name for name in names if controller.exists(name)}
    listed = {found["name"] for found in page_of(controller.list(limit=0))[0]} - {queue.name}
    assert there == listed


def test_posters_of_long_ago_are_forgotten_by_a_collection(uri, client, open_queue, clock):
    queue = open_queue(uri, clock=clock)
    fields = client.hlen(queue_keys("kombu-pool", None, queue.name).queue)
    for number in range(300):
        queue.post("a", idempotency_key=IdempotencyKey(b"%d" % number, 1))

    clock.advance(IDEMPOTENCY_WINDOW + 1)
    queue.driver.gc()

    assert client.hlen(queue_keys("kombu-pool", None, queue.name).queue) == fields


def test_most_of_them_are_forgotten_without_a_collection_too(uri, client, open_queue, clock):
    queue = open_queue(uri, clock=clock)
    for number in range(2000):
        queue.post("a", idempotency_key=IdempotencyKey(b"%d" % number, 1))
        clock.advance(IDEMPOTENCY_WINDOW / 10)

    assert client.hlen(queue_keys("kombu-pool", None, queue.name).queue) < 100
