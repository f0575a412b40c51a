from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time

import pytest

from tests.support.limits import LIMIT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")


def in_child(action):
    """Run ``action`` in a forked child; return its exit status, 0 when it raised nothing."""
    pid = os.fork()
    if pid == 0:
        status = 1
        signal.alarm(int(LIMIT))  # A child that blocks would outlive the test.
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def post(driver, body):
    driver.message_controller.post("q", [{"ttl": None, "body": body}], None)


def bodies(driver):
    return sorted(message["body"] for message in next(driver.message_controller.list("q", limit=0)))


def test_parent_and_child_both_post(driver):
    post(driver, "a")

    status = in_child(lambda: post(driver, "b"))

    post(driver, "c")
    assert status == 0
    assert bodies(driver) == ["a", "b", "c"]


def test_a_child_loses_nothing_when_its_parent_closes_the_file(driver, path):
    post(driver, "a")
    closed, close = os.pipe()
    posted, report = os.pipe()

    def action():
        post(driver, "b")
        os.write(report, b"1")
        os.read(closed, 1)
        post(driver, "c")

    thread = threading.Thread(target=lambda: (os.read(posted, 1), driver.close(), os.write(close, b"1")))
    thread.start()
    status = in_child(action)
    thread.join()

    connection = sqlite3.connect(path)
    assert status == 0
    assert connection.execute("SELECT count(*) FROM free").fetchone() == (3,)
    connection.close()
    for file in (closed, close, posted, report):
        os.close(file)


def test_a_fork_in_the_middle_of_another_threads_work_leaves_the_child_a_usable_driver(driver):
    done = threading.Event()

    def work():
        while not done.is_set():
            post(driver, "busy")
            # Without a pause the children would wait long for the file's lock.
            time.sleep(0.0005)

    thread = threading.Thread(target=work)
    thread.start()
    statuses = [in_child(lambda: post(driver, "child")) for _ in range(15)]
    done.set()
    thread.join()

    assert statuses == [0] * 15
    assert bodies(driver).count("child") == 15


def test_a_watch_works_on_both_sides_of_a_fork(driver):
    watch = driver.watch([(None, "q")])
    assert watch.wait(0) is False

    def action():
        assert watch.wait(0) is False
        post(driver, "from the child")
        assert watch.wait(LIMIT) is True

    assert in_child(action) == 0
    assert watch.wait(LIMIT) is True
    watch.close()
