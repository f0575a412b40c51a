"""Under gevent and eventlet, a waiting greenlet blocks no other one, and its wait ends."""

from __future__ import annotations

import importlib.util
import json

import pytest

from tests.support.limits import best_of
from tests.support.transport.child_programs import Programs


@pytest.fixture(params=["gevent", "eventlet"])
def green(request, shared_url):
    """Run a process of greenlets; return what it says of its messages, a long task, a group, and its longest stall."""
    if importlib.util.find_spec(request.param) is None:
        # Importing it here would change what this process does at a fork.
        pytest.skip(f"{request.param} is not installed")
    started = Programs("tests.support.transport.greenlet_program")

    def run():
        program = started.start(request.param, url=shared_url)
        output = [json.loads(program.line()) for _ in range(4)]
        program.finish()
        return output

    yield run
    started.kill()


def test_messages_come_at_once_claims_are_renewed_groups_are_flushed_and_nobody_is_kept_waiting(green):
    def slowness():
        delays, kept, (stored, started), stall = green()
        assert kept
        assert stored == 3
        assert started <= 0  # one of PyMongo's own may end
        return max(sorted(delays)[1] / 0.2, stall / 0.5)

    assert best_of(slowness, 1) < 1
