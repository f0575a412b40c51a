"""The move of a queue: by several processes, by ones that stall or die between two steps, and what it costs."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from contextlib import closing

import pytest
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import WriteConcernError

from kombu_pool import drivers, errors
from kombu_pool.drivers.mongodb.client import Client
from kombu_pool.model import Uniqueness
from kombu_pool.testing import ManualClock, QueueHandle
from tests.support.mongodb.documents import count_messages, documents
from tests.support.mongodb.failures import Died, die
from tests.support.mongodb.moves import SEALED, begin, post, remaining, remove, seal, store, take
from tests.support.moving_programs import BATCH, SOURCE, TARGET
from tests.support.servers import mongodb
from tests.support.servers.waiting import first_answer
from tests.support.transport.child_programs import Programs

PRODUCERS = 4


@pytest.fixture(params=["replica set"])
def uri(request):
    return mongodb.fresh_uri() if request.param == "replica set" else mongodb.fresh_standalone_uri()


ANY_SERVER = pytest.mark.parametrize("uri", ["replica set", "standalone"], indirect=True)


@pytest.fixture
def programs():
    programs = Programs("tests.support.moving_programs")
    yield programs
    programs.kill()


# Several processes.


@ANY_SERVER
@pytest.mark.parametrize("together", [1, 3])
def test_what_is_confirmed_before_the_seal_is_there_and_nothing_after_it(source, uri, programs, together):
    producers = [
        programs.start("post", uri=uri, first=number * 10**6, together=together) for number in range(PRODUCERS)
    ]
    assert {producer.line() for producer in producers} == {"ready"}
    first_answer(lambda: source.count() > 20 * PRODUCERS)

    seal(source)
    at_once = source.count()
    confirmed = Counter(body for producer in producers for body in json.loads(producer.line()))

    assert source.count() == at_once
    assert Counter(source.free()) == confirmed


def test_two_processes_move_each_message_once_and_in_order(source, target, uri, programs):
    source.post(*range(60 * BATCH))
    seal(source)

    older = programs.start("move", uri=uri, epoch=1, sealed=SEALED)
    assert older.line() == "ready"
    later = programs.start("move", uri=uri, epoch=2, sealed=SEALED)

    assert [later.line(), later.line()] == ["ready", "empty"]
    assert older.line() in {"superseded", "empty"}
    assert remaining(source) == 0
    assert target.free() == [*range(60 * BATCH)]


def test_a_process_that_stalled_with_a_batch_changes_nothing(source, target, uri, programs):
    source.post(*range(3 * BATCH))
    seal(source)
    late = programs.start("stall", uri=uri, sealed=SEALED)
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


def test_processes_that_are_killed_at_any_step_lose_and_double_nothing(source, target, uri, programs):
    count = 100 * BATCH
    source.post(*range(count))
    seal(source)

    for epoch in range(1, 6):
        victim = programs.start("move", uri=uri, epoch=epoch, sealed=SEALED)
        assert victim.line() == "ready"
        before = target.count()
        first_answer(lambda before=before: target.count() > before + 5 * BATCH or remaining(source) == 0)
        victim.signal(signal.SIGKILL)
    last = programs.start("move", uri=uri, epoch=10, sealed=SEALED)

    assert [last.line(), last.line()] == ["ready", "empty"]
    assert target.free() == [*range(count)]
    assert remaining(source) == 0


def test_batches_that_two_processes_took_at_once_are_both_returned_again(source, another, meanwhile):
    source.post(*range(4))
    seal(source)
    meanwhile(Collection, "update_many", lambda: take(another, limit=2))

    batch = take(source, limit=4)

    assert len(batch) == 4
    assert take(another) == batch


# A standalone server.


@pytest.mark.parametrize("uri", ["standalone"], indirect=True)
def test_a_standalone_server_gives_its_messages_away_and_takes_none(source, target):
    source.post(*range(3))
    seal(source)
    batch = take(source)

    for call in (lambda: begin(target), lambda: store(target, batch)):
        with pytest.raises(errors.NotPermitted, match="replica set"):
            call()
    remove(source, batch[:1])

    assert [one.id for one in take(source)] == [one.id for one in batch[1:]]
    assert remaining(source) == 2


# The rest.


def test_a_batch_of_large_messages_is_smaller(source, target):
    source.post(*[bytes(3 * 1024 * 1024)] * 4)
    seal(source)
    begin(target)
    sizes = []

    while batch := take(source):
        sizes.append(len(batch))
        store(target, batch)
        remove(source, batch)

    assert sizes == [3, 1]
    assert target.count() == 4


def test_a_unique_id_that_is_taken_while_a_batch_is_stored_is_left_to_the_post(source, target, meanwhile):
    (posted,) = source.post("old", unique=Uniqueness("u", "waiting"))
    seal(source)
    begin(target)
    batch = take(source)
    new = []
    meanwhile(Client, "transact", lambda: new.extend(target.post("new", unique=Uniqueness("u", "waiting"))))

    store(target, batch)

    assert batch[0].id == posted
    assert target.free() == ["old", "new"]
    assert target.driver.move_controller.unique_holder(TARGET, "u") == new[0]


def test_messages_of_two_moves_come_in_the_order_of_their_moves(source, target):
    target.post("new")
    queues = source.driver.queue_controller
    for number in range(2):
        post(source, [{"ttl": 0, "body": number}])
        seal(source)
        begin(target)
        batch = take(source)
        store(target, batch)
        remove(source, batch)
        queues.delete(SOURCE)
        queues.create(SOURCE, {}, incarnation="present")

    assert target.free() == [0, 1, "new"]


def test_a_moved_queue_is_deleted_with_all_its_documents(source, target, database):
    source.post(*range(5))
    seal(source)
    begin(target)
    store(target, take(source))

    source.driver.queue_controller.delete(SOURCE, incarnation=SEALED)
    source.driver.queue_controller.delete(TARGET, incarnation="opened")

    assert count_messages(database) == 0
    assert documents(database, "messages") == []


def test_moved_messages_wake_a_watch(source, target, driver):
    source.post("a")
    seal(source)
    begin(target)
    batch = take(source)
    watch = driver.watch([(None, TARGET)])
    assert not watch.wait(0.1)

    store(target, batch)

    assert watch.wait(10)
    watch.close()


def test_moved_messages_are_claimed_first_by_a_process_that_has_scanned_past_their_place(source, target, uri):
    other = QueueHandle(drivers.open_data(uri, clock=ManualClock()), TARGET, None)
    other.post(*range(6))
    for _ in range(3):
        other.claim(limit=1)
    source.post("moved")
    seal(source)
    begin(target)

    store(target, take(source))

    assert [message["body"] for message in other.claim(limit=2).messages] == ["moved", 3]
    other.driver.close()


def test_a_batch_costs_a_fixed_number_of_round_trips(source, target, round_trips):
    source.post(*range(400))
    seal(source)
    begin(target)

    def work():
        batch = take(source, limit=100)
        store(target, batch)
        remove(source, batch)

    work()
    assert min(round_trips(work) for _ in range(3)) <= 13


def test_no_step_of_a_move_examines_the_whole_queue(source, target, profiled):
    source.post(*range(2000))
    source.post(*range(2000), delay=100)
    seal(source)
    begin(target)

    def work():
        batch = take(source)
        store(target, batch)
        remove(source, batch)
        remaining(source)

    work()
    found = profiled(work)

    assert not [one for one in found if "COLLSCAN" in one.get("planSummary", "") and "queues" not in one["ns"]]
    assert max(one.get("keysExamined", 0) for one in found) <= 10 * BATCH


@pytest.mark.parametrize("opened_late", [False, True], ids=["", "opened late by another process"])
def test_the_transaction_of_a_process_that_died_does_not_hold_up_the_next_one(
    source, target, another, uri, monkeypatch, opened_late
):
    source.post("a", "b")
    seal(source)
    begin(target)
    if opened_late:
        with closing(drivers.open_data(uri)) as other:
            other.move_controller.set_epoch(TARGET, incarnation="opened", epoch=1)
    batch = take(source)
    with monkeypatch.context() as patch:
        # The transaction stays open, as that of a process that was killed.
        patch.setattr("kombu_pool.drivers.mongodb.moving.replace_batch", die)
        patch.setattr("pymongo.client_session.ClientSession.abort_transaction", lambda _: None)
        with pytest.raises(Died):
            store(target, batch)

    began = time.monotonic()
    moves = another.driver.move_controller
    moves.set_epoch(TARGET, incarnation="opened", epoch=2)
    moves.store(TARGET, batch, incarnation="opened", epoch=2)

    assert time.monotonic() - began < 5
    assert target.free() == ["a", "b"]


def test_a_batch_is_stored_once_whose_commit_another_process_interrupts(source, target, monkeypatch):
    source.post("a", "b")
    seal(source)
    begin(target)
    batch = take(source)
    commit = ClientSession.commit_transaction
    interrupted = iter([True])

    def commit_and_be_interrupted(session):
        commit(session)
        if next(interrupted, False):
            # As the server answers when the session is killed after the commit, and before the journal has it.
            raise WriteConcernError("operation was interrupted", 11601)

    monkeypatch.setattr(ClientSession, "commit_transaction", commit_and_be_interrupted)
    store(target, batch)

    assert next(interrupted, None) is None
    assert target.free() == ["a", "b"]
