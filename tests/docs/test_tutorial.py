"""The tutorial, followed from its first line to its last."""

from __future__ import annotations

import sys

import pytest

from tests.support.docs.terminal import Terminal
from tests.support.docs.walkthrough import Walkthrough
from tests.support.limits import LONG_TEST
from tests.support.servers.ports import free_port

#: What the page promises for a step, in seconds, with the time of a reader.
PROMISED = {
    "The first task": 120,
    "A chord": 180,
    "Dead letters": 300,
    "A second machine": 300,
    "A first pool": 300,
}


@pytest.fixture
def terminal(tmp_path):
    first, second = free_port(), free_port()
    replaced = {
        "localhost:6379": f"localhost:{first}",
        "--port 6379": f"--port {first}",
        "localhost:6380": f"localhost:{second}",
        "--port 6380": f"--port {second}",
    }
    terminal = Terminal(tmp_path, replaced)
    yield terminal
    terminal.close()


@pytest.mark.celery
@pytest.mark.slow
@pytest.mark.timeout(LONG_TEST)
@pytest.mark.recipe("docs/tutorial.md")
def test_a_newcomer_gets_from_the_first_task_to_the_first_pool(terminal):
    seconds = Walkthrough("docs/tutorial.md", terminal).follow()

    sys.stderr.writelines(f"{taken:6.1f} s  {step}\n" for step, taken in seconds.items())
    assert PROMISED.keys() <= seconds.keys()
    assert {step: taken for step, taken in seconds.items() if taken > PROMISED.get(step, LONG_TEST)} == {}
