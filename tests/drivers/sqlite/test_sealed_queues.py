"""Unreadable messages of a SQLite store whose queue for such messages is sealed: they go where it moves."""

from __future__ import annotations

import pytest

from kombu_pool import errors
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.storage.dead_letters import RESERVATION_TTL
from kombu_pool.testing import QueueHandle
from kombu_pool.testing.handles import HookCalls, bodies
from tests.support.sqlite.moves import handle, rows_of, seal


@pytest.fixture
def source(open_data):
    return handle(open_data(), "present")


@pytest.fixture
def broken(source):
    """The calls of the hook that forwards; the message is unreadable, and the queue for such messages is sealed."""
    driver = source.driver
    driver.queue_controller.create(UNREADABLE_QUEUE, incarnation="present")
    seal(QueueHandle(driver, UNREADABLE_QUEUE, None))
    driver.dead_letter_hooks.forward = calls = HookCalls()
    (number,) = source.post("broken")
    driver._database.row("UPDATE message SET record = x'c1' WHERE id = ? RETURNING id", (int(number),))
    return calls


class Routing(HookCalls):
    """Forwards to one queue, and finds no other."""

    def __call__(self, *call):
        super().__call__(*call)
        return call[1] == UNREADABLE_QUEUE


@pytest.mark.parametrize("metadata", [{}, {"_dead_letter_queue": "absent"}])
def test_an_unreadable_message_is_forwarded_if_the_queue_for_such_is_sealed(source, broken, metadata):
    source.driver.dead_letter_hooks.forward = calls = Routing()
    source.driver.queue_controller.set_metadata("q", metadata)

    assert source.claim().id is None

    assert calls[-1][1] == UNREADABLE_QUEUE
    assert source.stats()["total"] == 0
    assert QueueHandle(source.driver, UNREADABLE_QUEUE, None).count() == 0


@pytest.mark.parametrize("answer", [False, errors.ConnectionError("unreachable")])
def test_an_unreadable_message_waits_while_its_sealed_queue_cannot_be_reached(source, broken, clock, answer):
    broken.answer = answer
    source.post("next")

    assert bodies(source.claim()) == ["next"]

    assert source.count() == 0
    assert source.stats()["total"] == 2
    assert QueueHandle(source.driver, UNREADABLE_QUEUE, None).count() == 0
    clock.advance(RESERVATION_TTL + 1)
    broken.answer = True
    assert bodies(source.claim()) == ["next"]
    assert source.stats()["total"] == 1
    assert [call[1] for call in broken] == [UNREADABLE_QUEUE] * len(broken)


@pytest.mark.parametrize("answer", [False, errors.ConnectionError("unreachable")])
def test_a_dead_letter_that_is_unreadable_waits_while_its_sealed_queue_cannot_be_reached(source, broken, answer):
    source.driver.queue_controller.set_metadata("q", {"_dead_letter_queue": "absent", "_max_length": 1})
    broken.answer = answer
    source.post("next")
    source.driver.dead_letter_all()

    assert source.free() == ["next"]
    assert rows_of(source, "dead") == 1
    assert QueueHandle(source.driver, UNREADABLE_QUEUE, None).count() == 0
    source.driver.dead_letter_hooks.forward = Routing()
    assert source.driver.dead_letter_all() == 1
    assert rows_of(source, "dead") == 0
