"""Writers of several processes that wait for a locked file, and what ends while they do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from kombu_pool.drivers.sqlite.write_permits import PLACES, WritePermits
from tests.drivers.sqlite.conftest import PROGRAMS, ROOT
from tests.support.limits import LIMIT

GREENLETS = PROGRAMS.with_name("greenlet_program.py")
EACH = 300


def until(condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def until_waiting(path):
    """Wait until a number of writers of all processes wait for the file."""
    permits = WritePermits(str(path))
    permits.wait()

    def until_waiting(number):
        until(lambda: sum(map(bool, permits._table[32 : 32 + PLACES].tolist())) >= number)

    return until_waiting


@pytest.mark.parametrize("ending", [signal.SIGSTOP, signal.SIGKILL])
def test_writers_pass_one_that_was_stopped_or_killed_while_it_waited(driver, path, uri, run, until_waiting, ending):
    first, second = (run("post_when_told", uri) for _ in range(2))
    for writer in (first, second):
        writer.stdout.readline()
    locker = run("hold_lock", path, 2 * LIMIT)
    locker.stdout.readline()
    for number, writer in enumerate((first, second), 1):
        writer.stdin.write("\n")
        writer.stdin.flush()
        until_waiting(number)

    os.kill(first.pid, ending)
    locker.kill()
    locker.wait()

    second.communicate(timeout=LIMIT)
    assert driver.message_controller.count("q") == 1
    driver.message_controller.post("q", [{"ttl": None, "body": "a newer one"}], None)
    if ending == signal.SIGSTOP:
        os.kill(first.pid, signal.SIGCONT)
        first.communicate(timeout=LIMIT)
        assert driver.message_controller.count("q") == 3


def test_a_killed_writer_leaves_nothing_that_others_wait_for(driver, uri, run):
    victim = run("post", uri, 0, 10**9)
    until(lambda: driver.message_controller.count("q"))
    others = [run("post", uri, number * EACH, EACH) for number in range(1, 4)]
    before = driver.message_controller.count("q")
    until(lambda: driver.message_controller.count("q") > before + EACH)

    victim.kill()

    for other in others:
        json.loads(other.communicate(timeout=LIMIT)[0])
    bodies = {message["body"] for message in next(driver.message_controller.list("q", limit=0))}
    assert set(range(EACH, 4 * EACH)) <= bodies


@pytest.mark.parametrize("kind", ["gevent", "eventlet"])
def test_other_greenlets_run_while_one_waits_for_the_lock(driver, path, uri, run, kind):
    program = subprocess.Popen(
        [sys.executable, str(GREENLETS), kind, uri],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout.readline() == "ready\n"
    locker = run("hold_lock", path, 2 * LIMIT)
    locker.stdout.readline()

    program.stdin.write("\n")
    program.stdin.flush()

    assert program.stdout.readline() == "ticked\n"
    locker.kill()
    locker.wait()
    assert program.communicate(timeout=LIMIT)[0] == "posted\n"
    assert driver.message_controller.count("q") == 1


def test_a_child_of_a_writer_that_has_waited_writes(driver, path, run):
    run("hold_lock", path, 0.2).stdout.readline()
    driver.message_controller.post("q", [{"ttl": None, "body": "of the parent"}], None)
    pid = os.fork()
    if pid == 0:
        status = 1
        signal.alarm(int(LIMIT))
        try:
            driver.message_controller.post("q", [{"ttl": None, "body": "of the child"}], None)
            status = 0
        finally:
            os._exit(status)

    driver.message_controller.post("q", [{"ttl": None, "body": "of the parent"}], None)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert driver.message_controller.count("q") == 3
