"""An ack-and-claim of which one half fails: the other half is done, and claimed messages are released."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from kombu_pool import drivers, errors
from kombu_pool.testing import QueueHandle, bodies, ids
from tests.support.limits import LIMIT
from tests.support.mongodb.failures import fail_point
from tests.support.servers import mongodb
from tests.support.transport.traffic import eventually

#: Ttl of the claims of the process that is killed, in seconds.
SHORT_TTL = 4
#: Time for which a command of that process waits, in milliseconds; the end of the fail point waits for it, too.
STALL = 8000


@pytest.fixture(scope="module")
def servers():
    """Three servers with fail points."""
    with mongodb.ReplicaSet(members=3, enableTestCommands=1) as started:
        yield started


@pytest.fixture
def queue(servers, request):
    driver = drivers.open_data(f"{servers.uri(request.node.name[:40])}&wtimeoutMS=5000")
    made = QueueHandle(driver, "q", None)
    made.create()
    yield made
    driver.close()


def pairs(held):
    return [(one, held.id) for one in ids(held)]


def ack_and_claim(queue, held, limit, ttl=60):
    return queue.driver.claim_controller.ack_and_claim(queue.name, held, {"ttl": ttl, "grace": 0}, queue.project, limit)


def test_what_was_lent_as_the_deletion_failed_is_given_back_by_the_next_claim(queue, servers):
    queue.post("done", "next")
    held = queue.claim(limit=1)

    lost = {"failCommands": ["delete"], "closeConnection": True}
    with fail_point(servers.primary, "failCommand", "alwaysOn", **lost), pytest.raises(errors.ConnectionError):
        ack_and_claim(queue, pairs(held), 1)

    assert bodies(queue.claim()) == ["next"]
    assert queue.delete_claimed(pairs(held)) == []


def test_what_was_deleted_as_nothing_could_be_lent_is_done(queue, servers):
    queue.post("done", "next")
    held = queue.claim(limit=1)

    lost = {"failCommands": ["update", "findAndModify"], "closeConnection": True}
    with fail_point(servers.primary, "failCommand", "alwaysOn", **lost), pytest.raises(errors.ConnectionError):
        ack_and_claim(queue, pairs(held), 1)

    assert queue.all() == ["next"]
    assert bodies(queue.claim()) == ["next"]


def test_what_a_swap_deleted_is_not_taken_for_done_before_the_majority_knows(queue, servers):
    queue.post("a", "b", "c")
    held = queue.claim(limit=2)
    primary = servers.primary
    with contextlib.ExitStack() as stopped:
        for secondary in servers.secondaries:
            stopped.enter_context(fail_point(secondary, "stopReplProducer", "alwaysOn"))
        with pytest.raises(errors.ConnectionError):
            ack_and_claim(queue, pairs(held), 1)

        with pytest.raises(errors.ConnectionError):
            queue.delete_claimed(pairs(held))

        primary.kill()
    servers.wait_for_another(primary)
    eventually(lambda: queue.delete_claimed(pairs(held)) == [])
    assert queue.all() == ["c"]


@pytest.fixture
def start_process(queue, servers, request):
    """Start a process that deletes "done" and claims "next", while the server delays one of its commands."""

    def start(command):
        queue.post("done", "next")
        held = pairs(queue.claim(limit=1, ttl=SHORT_TTL))
        stalled = {"failCommands": [command], "appName": "stalled", "blockConnection": True, "blockTimeMS": STALL}
        stack.enter_context(fail_point(servers.primary, "failCommand", "alwaysOn", **stalled))
        child = os.fork()
        if child == 0:
            signal.alarm(int(LIMIT))  # a child that hangs would outlive the test
            try:
                driver = drivers.open_data(f"{servers.uri(request.node.name[:40])}&appName=stalled")
                ack_and_claim(QueueHandle(driver, queue.name, queue.project), held, 1, ttl=SHORT_TTL)
            finally:
                os._exit(1)
        stack.callback(kill, child)
        return child

    with contextlib.ExitStack() as stack:
        yield start


def kill(child):
    """Kill a process, unless it is dead."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.parametrize(
    ("stalled", "half_done", "outcomes"),
    [
        pytest.param("update", ["next"], [["next"]], id="deleted but not claimed"),
        # The deletion is not confirmed, so it may be done or not.
        pytest.param("delete", [], [["next"], ["done", "next"]], id="claimed but not deleted"),
    ],
)
def test_a_process_killed_in_a_swap_loses_nothing(queue, start_process, stalled, half_done, outcomes):
    child = start_process(stalled)
    eventually(lambda: queue.free() == half_done and (stalled == "delete" or queue.all() == half_done))
    kill(child)

    got = []
    eventually(lambda: got.extend(bodies(queue.claim())) or "next" in got)

    assert got in outcomes
