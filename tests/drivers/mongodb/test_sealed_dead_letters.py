"""Dead letters whose queue is sealed: they are stored before the seal, or forwarded."""

from __future__ import annotations

import json
import threading
from collections import Counter

import pytest
from pymongo.collection import Collection

from kombu_pool.drivers.mongodb.client import Client
from kombu_pool.drivers.mongodb.seal_gates import SealGates
from kombu_pool.testing import QueueHandle
from kombu_pool.testing.handles import HookCalls
from tests.support.limits import LIMIT
from tests.support.mongodb.moves import SEALED, remaining, seal, take
from tests.support.moving_programs import SOURCE
from tests.support.servers import mongodb
from tests.support.servers.waiting import first_answer
from tests.support.transport.child_programs import Programs

PRODUCERS = 4


@pytest.fixture(params=["replica set"])
def uri(request):
    return mongodb.fresh_uri() if request.param == "replica set" else mongodb.fresh_standalone_uri()


@pytest.fixture
def programs():
    programs = Programs("tests.support.moving_programs")
    yield programs
    programs.kill()


def test_dead_letters_that_meet_the_seal_are_stored_before_it_or_stay(source, uri, driver, programs):
    authors = [
        programs.start("dead_letter", uri=uri, name=f"dying {number}", first=number * 10**6)
        for number in range(PRODUCERS)
    ]
    assert {author.line() for author in authors} == {"ready"}
    first_answer(lambda: source.count() > 10 * PRODUCERS)

    seal(source)
    letters = [body for body in source.free() if body != "probe"]
    rejected = Counter(body for author in authors for body in json.loads(author.line()))

    assert [body for body in source.free() if body != "probe"] == letters
    driver.dead_letter_hooks.forward = forwarded = HookCalls()
    driver.dead_letter_all()
    assert Counter([*letters, *(call[2]["body"] for call in forwarded)]) == rejected


@pytest.mark.parametrize("uri", ["standalone"], indirect=True)
@pytest.mark.parametrize("is_used", [False, True])
def test_a_dead_letter_that_came_after_the_seal_is_withdrawn(source, another, driver, meanwhile, is_used):
    dying = QueueHandle(driver, "dying", None)
    dying.create(_dead_letter_queue=SOURCE)
    dying.post("letter")
    held = dying.claim()

    def seal_and_use():
        seal(another)
        if is_used:
            meanwhile(Collection, "delete_one", lambda: take(another))

    meanwhile(Collection, "insert_many", seal_and_use)
    driver.dead_letter_hooks.forward = forwarded = HookCalls()
    dying.reject(held)

    assert remaining(source) == (1 if is_used else 0)
    driver.dead_letter_all()
    assert [call[2]["body"] for call in forwarded] == ([] if is_used else ["letter"])


def test_a_dead_letter_without_a_way_out_of_a_sealed_queue_stays(source, driver):
    dying = QueueHandle(driver, "dying", None)
    dying.create(_dead_letter_queue=SOURCE)
    dying.post("letter")
    seal(source)
    driver.dead_letter_hooks.forward = None

    dying.reject(dying.claim())

    driver.dead_letter_hooks.forward = forwarded = HookCalls()
    driver.dead_letter_all()
    assert [call[2]["body"] for call in forwarded] == ["letter"]
    assert remaining(source) == 0


def test_an_unreadable_message_is_not_stored_in_a_sealed_queue(driver, database, uri):
    driver.queue_controller.create("kombu_pool.unreadable", {}, incarnation="present")
    broken = QueueHandle(driver, "broken", None)
    broken.create()
    broken.post("a")
    database["kombu_pool_messages"].update_one({"n": 0}, {"$set": {"b": b"\xc1"}})
    sealed = QueueHandle(driver, "kombu_pool.unreadable", None)
    driver.queue_controller.create(sealed.name, {}, incarnation=SEALED, replaces="present")
    driver.dead_letter_hooks.forward = forwarded = HookCalls()

    assert broken.claim().id is None

    assert [call[1] for call in forwarded] == ["kombu_pool.unreadable"]
    assert sealed.all() == []


def test_the_seal_waits_for_dead_letters_that_are_being_stored(source, another, driver, monkeypatch):
    dying = QueueHandle(driver, "dying", None)
    dying.create(_dead_letter_queue=SOURCE)
    dying.post("letter")
    sealed = threading.Thread(target=seal, args=(another,))
    enter = SealGates.enter

    def enter_and_stall(*args):
        entered = enter(*args)
        if not sealed.is_alive():
            sealed.start()
            # It is sealed, but the call has not returned.
            first_answer(lambda: another.driver._store.queue(None, SOURCE).is_sealed)
            sealed.join(0.5)
            assert sealed.is_alive()
        return entered

    monkeypatch.setattr(SealGates, "enter", staticmethod(enter_and_stall))

    dying.reject(dying.claim())
    sealed.join(LIMIT)

    assert source.free() == ["letter"]


def test_a_dead_letter_whose_target_was_sealed_after_the_look_is_forwarded(source, another, driver, meanwhile):
    dying = QueueHandle(driver, "dying", None)
    dying.create(_dead_letter_queue=SOURCE)
    dying.post("letter")
    driver.dead_letter_hooks.forward = forwarded = HookCalls()
    meanwhile(Client, "transact", lambda: seal(another))

    dying.reject(dying.claim())
    driver.dead_letter_all()

    assert source.all() == []
    assert [call[2]["body"] for call in forwarded] == ["letter"]


def test_a_queue_that_is_sealed_no_more_stores_dead_letters(source, driver):
    dying = QueueHandle(driver, "dying", None)
    dying.create(_dead_letter_queue=SOURCE)
    seal(source)
    driver.queue_controller.create(SOURCE, {}, incarnation="later", replaces=SEALED)
    dying.post("letter")

    dying.reject(dying.claim())

    assert source.free() == ["letter"]
