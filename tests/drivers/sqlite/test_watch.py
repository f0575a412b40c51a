from __future__ import annotations

import json
import os
import threading
import time

import pytest

from kombu_pool.drivers.sqlite import wakeup
from tests.support.limits import LIMIT, best_of, seconds_of

ROUNDS = 20


def post(driver, queue, body):
    driver.message_controller.post(queue, [{"ttl": None, "body": body}], None)


def processor_time_of_a_wait(watch, seconds):
    before = os.times()
    assert watch.wait(seconds) is False
    after = os.times()
    return after.user + after.system - before.user - before.system


def test_a_post_wakes_another_process_within_milliseconds(driver, uri, run):
    waiter = run("wait_for_messages", uri)
    waiter.stdout.readline()

    def delay():
        time.sleep(0.02)  # until the other process waits again
        posted = time.time()
        post(driver, "q", "a")
        return json.loads(waiter.stdout.readline()) - posted

    def median():
        return sorted(delay() for _ in range(ROUNDS))[ROUNDS // 2]

    assert best_of(median, 0.02) < 0.02
    post(driver, "q", "end")
    assert waiter.wait(LIMIT) == 0


def test_an_idle_watch_costs_next_to_no_cpu(driver):
    watch = driver.watch([(None, "q")])
    watch.wait(0)

    assert best_of(lambda: processor_time_of_a_wait(watch, 2), 0.02) < 0.02

    watch.close()


def test_a_busy_queue_that_is_not_watched_wakes_no_watch_and_costs_little(driver):
    driver.queue_controller.create("stranger")
    watch = driver.watch([(None, "q")])
    watch.wait(0)
    looks = []
    watch._is_ready, look = lambda: looks.append(1) or look(), watch._is_ready
    done = threading.Event()

    def work():
        while not done.is_set():
            post(driver, "stranger", "a")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert watch.wait(1) is False
    finally:
        done.set()
        thread.join()
    assert len(looks) < 400
    watch.close()


def test_a_message_that_is_due_soon_ends_a_wait_in_another_process(driver, uri, run):
    waiter = run("wait_for_messages", uri)
    waiter.stdout.readline()

    def lateness():
        due = time.time() + 0.3
        driver.message_controller.post("q", [{"ttl": None, "body": "a", "delay": 0.3}], None)
        return json.loads(waiter.stdout.readline()) - due

    assert 0 <= best_of(lateness, 0.5) < 0.5


def test_a_commit_without_the_bell_is_seen_within_a_second_or_so(driver, uri, run, monkeypatch):
    waiter = run("wait_for_messages", uri)
    waiter.stdout.readline()
    monkeypatch.setattr(wakeup.WakeSignal, "send", lambda self: None)

    def delay():
        posted = time.time()
        post(driver, "q", "a")
        return json.loads(waiter.stdout.readline()) - posted

    assert best_of(delay, 3) < 3


@pytest.fixture
def without_inotify(monkeypatch):
    """A platform without inotify."""
    monkeypatch.setattr(wakeup, "_libc", lambda: None)


def test_without_a_bell_a_watch_polls(without_inotify, driver):
    watch = driver.watch([(None, "q")])
    watch.wait(0.2)
    timer = threading.Timer(0.2, post, (driver, "q", "a"))
    timer.start()

    assert watch.wait(LIMIT) is True

    timer.join()
    watch.close()


def test_polling_costs_little_cpu(without_inotify, driver):
    watch = driver.watch([(None, "q")])
    watch.wait(0)

    assert best_of(lambda: processor_time_of_a_wait(watch, 1), 0.05) < 0.05

    watch.close()


def test_closing_a_watch_ends_its_wait(driver):
    watch = driver.watch([(None, "q")])
    watch.wait(0)
    timer = threading.Timer(0.1, watch.close)
    timer.start()

    assert seconds_of(lambda: watch.wait(2 * LIMIT)) < LIMIT

    timer.join()
    watch.interrupt()
    watch.close()
