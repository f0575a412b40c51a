"""Shells in which the blocks of the pages are run."""

from __future__ import annotations

import pytest

from tests.support.docs.pages import blocks
from tests.support.docs.terminal import Terminal
from tests.support.servers.redis_server import Server


@pytest.fixture
def recipe(request):
    """The blocks that a test is marked with, in order."""
    page, *firsts = request.node.get_closest_marker("recipe").args
    known = blocks()
    return [known[page, first] for first in firsts]


@pytest.fixture
def terminal(tmp_path):
    terminal = Terminal(tmp_path, {"/var/lib/shop": str(tmp_path), "/disk": str(tmp_path / "disk")})
    yield terminal
    terminal.close()


@pytest.fixture(scope="module")
def redis():
    with Server() as server:
        yield server


@pytest.fixture
def redis_terminal(tmp_path, redis):
    redis.ask("FLUSHALL")
    terminal = Terminal(tmp_path, {"localhost:6379": redis.address, "cache:6379": redis.address})
    yield terminal
    terminal.close()
