from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kombu_pool import drivers
from tests.support.sqlite.files import store

PROGRAMS = Path(__file__).parents[2] / "support" / "sqlite" / "child_programs.py"
ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pool.db"


@pytest.fixture
def uri(path):
    return f"sqlite:///{path}?synchronous=NORMAL"


@pytest.fixture
def driver(uri):
    opened = drivers.open_data(uri)
    opened.queue_controller.create("q")
    yield opened
    opened.close()


@pytest.fixture
def other(tmp_path):
    """The path of a complete store that holds one message in queue "q"."""
    path = tmp_path / "other.db"
    store(path, "from the other store")
    return path


@pytest.fixture
def run():
    """Start a program of ``child_programs.py`` as a process; kill those that still run at the end."""
    started = []

    def start(name, *arguments):
        process = subprocess.Popen(
            [sys.executable, str(PROGRAMS), name, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
