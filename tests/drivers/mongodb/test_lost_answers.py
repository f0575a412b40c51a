"""Commands whose answer is lost: they may have been executed."""

from __future__ import annotations

import pytest

from kombu_pool import drivers, errors
from kombu_pool.drivers.mongodb.claim_cache import ClaimCache
from kombu_pool.testing import QueueHandle, bodies
from tests.support.mongodb.failures import closing_connection, failing_command
from tests.support.servers import mongodb

#: Failures: the write was executed, but too late for a majority; and it was not executed.
_TOO_LATE = {"code": 64, "errmsg": "waiting for replication timed out", "errInfo": {"wtimeout": True}}
_TOOK_TOO_LONG = 50


@pytest.fixture(scope="module")
def server():
    """A server with fail points."""
    with mongodb.MongoServer(enableTestCommands=1) as started:
        yield started


@pytest.fixture
def queue(server, request):
    driver = drivers.open_data(f"{server.uri(request.node.name[:40])}?serverSelectionTimeoutMS=30000")
    made = QueueHandle(driver, "q", None)
    made.create()
    yield made
    driver.close()


def interrupted(*_):
    """Raise what the handler of a signal raises, in place of a method."""
    raise KeyboardInterrupt


def test_a_post_is_tried_again(queue, server):
    with closing_connection(server, "insert", 1):
        queue.post("a")

    assert queue.free() == ["a"]


def test_a_claim_is_tried_again(queue, server):
    queue.post("a", "b", "c")

    with closing_connection(server, "update", 1):
        held = queue.claim()

    assert bodies(held) == ["a", "b", "c"]


def test_what_was_claimed_without_an_answer_is_released_by_the_next_claim(queue, server):
    queue.post("a", "b")
    queue.end(queue.claim(limit=1).id)

    # The claim is stored, but its messages cannot be read, which is needed as their claim counts differ; PyMongo tries
    # that twice.
    with closing_connection(server, "find", 2), pytest.raises(errors.ConnectionError):
        queue.claim()

    assert bodies(queue.claim()) == ["a", "b"]


def test_what_was_lent_too_late_for_the_majority_is_given_back_by_the_next_claim_that_can(queue, server):
    queue.post("a", "b")

    with failing_command(server, "update", 1, writeConcernError=_TOO_LATE), pytest.raises(errors.ConnectionError):
        queue.claim()
    with failing_command(server, "update", 1, errorCode=_TOOK_TOO_LONG), pytest.raises(errors.ConnectionError):
        queue.claim()

    assert bodies(queue.claim()) == ["a", "b"]


def test_what_a_pop_could_not_delete_is_given_back_by_the_next_one(queue, server):
    queue.post("a", "b")

    with closing_connection(server, "delete", 1), pytest.raises(errors.ConnectionError):
        queue.pop()

    assert bodies(queue.pop()) == ["a", "b"]


def test_what_was_lent_as_a_signal_came_is_given_back_by_the_next_claim(queue, monkeypatch):
    queue.post("a", "b")
    with monkeypatch.context() as patch:
        patch.setattr(ClaimCache, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            queue.claim()

    assert bodies(queue.claim()) == ["a", "b"]
