"""What becomes of a command whose answer never came: it may have been done."""

from __future__ import annotations

import contextlib

import pytest

from kombu_pool import drivers, errors
from tests.conformance.handles import QueueHandle, bodies
from tests.servers import mongodb


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
