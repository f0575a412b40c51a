"""Child processes of a test that share its objects."""

from __future__ import annotations

import os
import signal

from tests.support.limits import LIMIT


def start_child(action):
    """Fork a child that calls ``action`` and writes its result; return the child."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(int(LIMIT))  # A child that hangs would outlive the test.
        try:
            os.write(write, repr(action()).encode())
        finally:
            os._exit(0)
    os.close(write)
    return pid, read


def result_of(child):
    """Wait for a child and return the ``repr`` of its result; "" if it failed."""
    pid, read = child
    with os.fdopen(read, "rb") as pipe:
        result = pipe.read().decode()
    os.waitpid(pid, 0)
    return result
