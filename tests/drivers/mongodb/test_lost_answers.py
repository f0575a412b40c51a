"""What becomes of a command whose answer never came: it may have been done."""

from __future__ import annotations

import contextlib

import pytest

from kombu_pool import drivers, errors
from kombu_pool.drivers.mongodb.claim_cache import ClaimCache
from kombu_pool.testing import QueueHandle, bodies
from tests.support.servers import mongodb

#: The server did it, but the majority had not got it in time; and it gave up before it did.
_TOO_LATE = {"code": 64, "errmsg": "waiting for replication timed out", "errInfo": {"wtimeout": True}}
_TOOK_TOO_LONG = 50


@pytest.fixture(scope="module")
def server():
    """A server that can be told to hang up instead of answering."""
    with mongodb.MongoServer(enableTestCommands=1) as started:
        yield started


@pytest.fixture
def queue(server, request):
    driver = drivers.open_data(f"{server.uri(request.node.name[:40])}?serverSelectionTimeoutMS=2000")
    made = QueueHandle(driver, "q", None)
    made.create()
    yield made
    driver.close()


@contextlib.contextmanager
def hindered(server, command, times, **how):
    """Let something happen to a command so many times, in the words of the server's ``failCommand``."""
    server.ask("configureFailPoint", "failCommand", mode={"times": times}, data={"failCommands": [command], **how})
    try:
        yield
    finally:
        server.ask("configureFailPoint", "failCommand", mode="off")


def hanging_up(server, command, times):
    """Let the server hang up when it is asked for a command."""
    return hindered(server, command, times, closeConnection=True)


def interrupted(*_):
    """Do as the handler of a signal does that comes at this place."""
    raise KeyboardInterrupt


def test_a_post_is_tried_again(queue, server):
    with hanging_up(server, "insert", 1):
        queue.post("a")

    assert queue.free() == ["a"]


def test_a_claim_is_tried_again(queue, server):
    queue.post("a", "b", "c")

    with hanging_up(server, "update", 1):
        held = queue.claim()

    assert bodies(held) == ["a", "b", "c"]


def test_what_was_lent_to_nobody_is_given_back_by_the_next_claim(queue, server):
    queue.post("a", "b")
    queue.end(queue.claim(limit=1).id)

    # The messages are marked as lent, and then they cannot be read, which is needed where some were lent before; the
    # client tries that twice.
    with hanging_up(server, "find", 2), pytest.raises(errors.ConnectionError):
        queue.claim()

    assert bodies(queue.claim()) == ["a", "b"]


def test_what_was_lent_too_late_for_the_majority_is_given_back_by_the_next_claim_that_can(queue, server):
    queue.post("a", "b")

    with hindered(server, "update", 1, writeConcernError=_TOO_LATE), pytest.raises(errors.ConnectionError):
        queue.claim()
    with hindered(server, "update", 1, errorCode=_TOOK_TOO_LONG), pytest.raises(errors.ConnectionError):
        queue.claim()

    assert bodies(queue.claim()) == ["a", "b"]


def test_what_a_pop_could_not_delete_is_given_back_by_the_next_one(queue, server):
    queue.post("a", "b")

    with hanging_up(server, "delete", 1), pytest.raises(errors.ConnectionError):
        queue.pop()

    assert bodies(queue.pop()) == ["a", "b"]


def test_what_was_lent_as_a_signal_came_is_given_back_by_the_next_claim(queue, monkeypatch):
    queue.post("a", "b")
    with monkeypatch.context() as patch:
        patch.setattr(ClaimCache, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            queue.claim()

    assert bodies(queue.claim()) == ["a", "b"]
