"""The move of a queue: by several processes, from and to a full Redis, with replicas, and what it costs."""

from __future__ import annotations

import json
import signal
from collections import Counter

import pytest

from kombu_pool import drivers, errors
from kombu_pool.drivers.redis.keys import queue_keys
from kombu_pool.model import IdempotencyKey, PresentId, Uniqueness
from kombu_pool.storage.moving import sealed_incarnation
from kombu_pool.testing import ManualClock, QueueHandle
from tests.support.moving_programs import BATCH, SOURCE, TARGET
from tests.support.servers.redis_server import Server
from tests.support.servers.redis_shared import fresh_cluster_uri, fresh_uri
from tests.support.servers.waiting import first_answer
from tests.support.transport.child_programs import Programs

SEALED = sealed_incarnation()
PRODUCERS = 4


@pytest.fixture
def programs():
    programs = Programs("tests.support.moving_programs")
    yield programs
    programs.kill()


@pytest.fixture
def open_ends(open_driver):
    """Open a store with a source and a target: ``open_ends(uri)``."""

    def make(where, **options):
        driver = open_driver(where, **options)
        driver.queue_controller.create(SOURCE, {}, incarnation="present")
        driver.queue_controller.create(TARGET, {}, incarnation="opened")
        return QueueHandle(driver, SOURCE, None), QueueHandle(driver, TARGET, None)

    return make


@pytest.fixture
def ends(uri, open_ends):
    return open_ends(uri)


@pytest.fixture(params=[fresh_uri, fresh_cluster_uri], ids=["server", "cluster"])
def shared_uri(request):
    """The URI of an empty store: on a server, and in a cluster, where the two queues may be on two nodes."""
    return request.param()


def seal(source, **metadata):
    source.driver.queue_controller.create(SOURCE, metadata, incarnation=SEALED, replaces="present")


def take(source, limit=BATCH):
    return source.driver.move_controller.take(SOURCE, limit=limit, incarnation=SEALED)


def store(target, batch, epoch=1):
    target.driver.move_controller.store(TARGET, batch, incarnation="opened", epoch=epoch)


def remove(source, batch):
    source.driver.move_controller.remove(SOURCE, [message.id for message in batch], incarnation=SEALED)


def begin(target, epoch=1):
    return target.driver.move_controller.set_epoch(TARGET, incarnation="opened", epoch=epoch)


def remaining(source):
    return source.driver.move_controller.remaining(SOURCE, incarnation=SEALED)


def test_what_is_confirmed_before_the_seal_is_there_and_nothing_after_it(open_ends, shared_uri, programs):
    source, _ = open_ends(shared_uri)
    producers = [programs.start("post", uri=shared_uri, first=number * 10**6) for number in range(PRODUCERS)]
    assert {producer.line() for producer in producers} == {"ready"}
    first_answer(lambda: source.count() > 50 * PRODUCERS)

    seal(source)
    at_once = source.count()
    confirmed = Counter(body for producer in producers for body in json.loads(producer.line()))

    assert source.count() == at_once
    assert Counter(source.free()) == confirmed


def test_two_processes_move_each_message_once_and_in_order(open_ends, shared_uri, programs):
    source, target = open_ends(shared_uri)
    source.post(*range(60 * BATCH))
    seal(source)

    older = programs.start("move", uri=shared_uri, epoch=1, sealed=SEALED)
    assert older.line() == "ready"
    later = programs.start("move", uri=shared_uri, epoch=2, sealed=SEALED)

    assert [later.line(), later.line()] == ["ready", "empty"]
    assert older.line() in {"superseded", "empty"}
    assert remaining(source) == 0
    assert target.free() == [*range(60 * BATCH)]


def test_a_process_that_stalled_with_a_batch_changes_nothing(open_ends, shared_uri, programs):
    source, target = open_ends(shared_uri)
    source.post(*range(3 * BATCH))
    seal(source)
    late = programs.start("stall", uri=shared_uri, sealed=SEALED)
    assert late.line() == "ready"

    begin(target, 2)
    batch = take(source)
    store(target, batch, 2)
    remove(source, batch)
    aside = take(source)
    late.tell()

    assert [late.line(), late.line()] == ["superseded", "done"]
    assert take(source) == aside
    assert target.free() == [*range(BATCH)]


def test_processes_that_are_killed_at_any_step_lose_and_double_nothing(open_ends, shared_uri, programs):
    source, target = open_ends(shared_uri)
    count = 100 * BATCH
    source.post(*range(count))
    seal(source)

    for epoch in range(1, 6):
        victim = programs.start("move", uri=shared_uri, epoch=epoch, sealed=SEALED)
        assert victim.line() == "ready"
        before = target.count()
        first_answer(lambda before=before: target.count() > before + 5 * BATCH or remaining(source) == 0)
        victim.signal(signal.SIGKILL)
    last = programs.start("move", uri=shared_uri, epoch=10, sealed=SEALED)

    assert [last.line(), last.line()] == ["ready", "empty"]
    assert target.free() == [*range(count)]
    assert remaining(source) == 0


def test_a_batch_costs_three_round_trips(ends, commands):
    source, target = ends
    source.post(*range(2 * BATCH))
    seal(source)
    begin(target)

    def work():
        batch = take(source)
        store(target, batch)
        remove(source, batch)

    work()
    assert [line.command[0] for line in commands(work) if not line.by_script] == [b"EVALSHA"] * 3


def test_a_full_store_gives_its_messages_away_and_takes_none(open_ends):
    with Server(maxmemory_policy="noeviction") as full:
        source, target = open_ends(full.uri())
        source.post("a", unique=Uniqueness("u", "waiting"))
        source.post("b", delay=100)
        full.ask("CONFIG", "SET", "maxmemory", 1)

        seal(source)
        begin(target)
        batch = take(source)
        with pytest.raises(errors.StoreFull):
            store(target, batch)
        stored = target.all()
        remove(source, batch)

        assert len(batch) == 2
        assert stored == []
        assert remaining(source) == 0


def test_a_seal_and_a_batch_wait_for_a_replica_and_are_made_once(open_ends, open_driver):
    with Server(repl_diskless_sync_delay=0) as master:
        source, _ = open_ends(master.uri())
        source.post("a", "b")
        careful = QueueHandle(open_driver(f"{master.uri()}?min_replicas=1&min_replicas_timeout=1"), TARGET, None)
        with pytest.raises(errors.ConnectionError, match="min_replicas"):
            seal(careful)
        batch = take(source)
        for attempt in (lambda: begin(careful), lambda: store(careful, batch), lambda: store(careful, batch)):
            with pytest.raises(errors.ConnectionError, match="min_replicas"):
                attempt()

        with Server(replicaof=f"127.0.0.1 {master.port}"):
            first_answer(lambda: master.client().info("replication").get("slave0", {}).get("state") == "online")
            store(careful, batch)

        assert careful.free() == ["a", "b"]


def test_a_batch_of_large_messages_is_smaller(ends):
    source, target = ends
    source.post(*[bytes(3 * 1024 * 1024)] * 4)
    seal(source)
    begin(target)
    sizes = []

    while batch := take(source):
        sizes.append(len(batch))
        store(target, batch)
        remove(source, batch)

    assert sizes == [2, 2]
    assert target.count() == 4


def test_a_sealed_queue_stays_sealed_when_its_metadata_change(ends):
    source, _ = ends
    seal(source)

    source.driver.queue_controller.set_metadata(SOURCE, {"_max_length": 5})
    source.driver.queue_controller.set_metadata(SOURCE, {})

    for post in ({}, {"unique": Uniqueness("u", "waiting")}, {"idempotency_key": IdempotencyKey(b"me", 1)}):
        with pytest.raises(errors.QueueDoesNotExist):
            source.post("late", **post)
    assert source.all() == []


def test_the_ids_of_a_completed_post_are_those_that_it_returned(ends):
    source, _ = ends
    posts = [
        [{"ttl": 0, "body": 1, "priority": 3}],
        [{"ttl": 0, "body": body} for body in range(500)],
        [{"ttl": 0, "body": body, "priority": body} for body in range(5)],
        [{"ttl": 0, "body": 1, "unique": Uniqueness("u", "waiting"), "key": "k"}, {"ttl": 0, "body": 2}],
        [{"ttl": 0, "body": 2}, {"ttl": 0, "body": 3, "unique": Uniqueness("u", "waiting")}],
        [{"ttl": 0, "body": 3, "unique": Uniqueness("u", "waiting")}],
    ]
    keys = [IdempotencyKey(b"%d" % number, 1) for number in range(len(posts))]
    post = source.driver.message_controller.post
    returned = [[*post(SOURCE, messages, None, idempotency_key=key)] for messages, key in zip(posts, keys, strict=True)]
    again = [*post(SOURCE, posts[2], None, idempotency_key=keys[2])]
    seal(source)

    completed = [source.driver.move_controller.completed_post(SOURCE, key) for key in keys]

    assert again == returned[2]
    assert completed == returned
    displaced = [message_id for ids in completed for message_id in ids if isinstance(message_id, PresentId)]
    assert displaced == [returned[3][0]] * 2
    assert {message_id.key for message_id in displaced} == {"k"}


def test_ids_that_are_held_for_a_time_are_counted_among_many_producers(uri, open_ends):
    clock = ManualClock()
    source, _ = open_ends(uri, clock=clock)
    for number in range(1500):
        source.post(number, idempotency_key=IdempotencyKey(b"%d" % number, 1))
    source.post("unique", unique=Uniqueness("u", 50.0))
    source.purge()
    seal(source)

    assert remaining(source) == 1
    clock.advance(51)
    assert remaining(source) == 0


def test_a_unique_id_of_a_message_that_is_put_aside_outlasts_a_collection(ends):
    source, _ = ends
    (posted,) = source.post("a", unique=Uniqueness("u", "waiting"), priority=129)
    seal(source)

    batch = take(source)
    source.driver.gc()

    moves = source.driver.move_controller
    assert moves.unique_holder(SOURCE, "u") == posted
    assert batch == take(source)
    assert batch[0].unique == ("u", True)
    remove(source, batch)
    assert moves.unique_holder(SOURCE, "u") is None
    assert take(source) == []


def test_a_moved_queue_is_deleted_with_all_its_keys(client, ends):
    source, target = ends
    source.post(*range(5))
    seal(source)
    take(source)
    begin(target)

    source.driver.queue_controller.delete(SOURCE, incarnation=SEALED)

    assert client.exists(*queue_keys("kombu-pool", None, SOURCE)) == 0


def test_messages_of_two_moves_come_in_the_order_of_their_moves(ends):
    source, target = ends
    target.post("new")
    queues = source.driver.queue_controller
    for number in range(2):
        source.driver.message_controller.post(SOURCE, [{"ttl": 0, "body": number}], None, incarnation="present")
        seal(source)
        begin(target)
        batch = take(source)
        store(target, batch)
        remove(source, batch)
        queues.delete(SOURCE)
        queues.create(SOURCE, {}, incarnation="present")

    assert target.free() == [0, 1, "new"]


def test_a_catalogue_without_moves_is_asked_in_one_round_trip(uri, commands):
    control = drivers.open_control(uri)
    assert control.catalogue_controller.moves() == []

    ran = commands(control.catalogue_controller.moves)

    assert [line.command[0] for line in ran] == [b"EVALSHA", b"SRANDMEMBER"]
    control.close()
