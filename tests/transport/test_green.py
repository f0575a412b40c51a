"""Under gevent and eventlet, a waiting greenlet blocks no other one, and its wait ends."""

from __future__ import annotations

import importlib.util
import json

import pytest

from tests.support.transport.child_programs import Programs


@pytest.fixture(params=["gevent", "eventlet"])
def green(request, shared_url):
    """The output of a process of greenlets: the delays of its messages, the fate of a long task, the longest stall."""
    if importlib.util.find_spec(request.param) is None:
        # Importing it here would change what this process does at a fork.
        pytest.skip(f"{request.param} is not installed")
    started = Programs("tests.support.transport.greenlet_program")
    program = started.start(request.param, url=shared_url)
    yield program
    started.kill()


def test_messages_come_at_once_claims_are_renewed_and_nobody_is_kept_waiting(green):
    delays, kept, stall = (json.loads(green.line()) for _ in range(3))
    green.finish()

    assert sorted(delays)[1] < 0.2
    assert kept
    assert stall < 0.5
