from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kombu_pool import drivers
from kombu_pool.testing import ManualClock, QueueHandle
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
def clock():
    return ManualClock()


@pytest.fixture
def open_data(uri, clock):
    """Open a driver of the file, with the present boot of the clock."""
    opened = []

    def open_data():
        opened.append(drivers.open_data(uri, clock=clock))
        return opened[-1]

    yield open_data
    for driver in opened:
        driver.close()


@pytest.fixture
def open_control(uri, clock):
    """Open the control plane of the file, with the present boot of the clock; it has the pool "pool"."""
    opened = []

    def open_control():
        opened.append(drivers.open_control(uri, clock=clock))
        opened[-1].pools_controller.create("pool", 1, "memory://pool")
        return opened[-1]

    yield open_control
    for driver in opened:
        driver.close()


@pytest.fixture
def queue(open_data):
    handle = QueueHandle(open_data(), "q", None)
    handle.create()
    return handle


@pytest.fixture
def control(open_control):
    return open_control()


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
