"""Programs that the SQLite tests run as processes: ``python child_programs.py NAME URI ARGUMENTS``."""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import sqlite3
import sys
import threading
import time
from contextlib import suppress

from kombu_pool import drivers, errors
from tests.support.limits import LIMIT

CLAIM = {"ttl": 60, "grace": 0}


def report(value: object) -> None:
    """Write a value for the test, as one line of JSON."""
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


def post(uri: str, first: str, count: str) -> None:
    """Post numbered messages, one at a time; report the duration of the slowest post."""
    driver = drivers.open_data(uri)
    slowest = 0.0
    for number in range(int(first), int(first) + int(count)):
        began = time.monotonic()
        driver.message_controller.post("q", [{"ttl": None, "body": number}], None)
        slowest = max(slowest, time.monotonic() - began)
    driver.close()
    report(slowest)


def post_to_incarnations(uri: str, count: str, seconds: str) -> None:
    """Post to a queue as its incarnations "0" to ``count`` - 1 in turn; report the number of stored messages."""
    driver = drivers.open_data(uri)
    report("ready")
    until = time.monotonic() + float(seconds)
    stored = number = 0
    while time.monotonic() < until:
        try:
            stored += len(
                driver.message_controller.post("lives", [{"ttl": None, "body": number}], None, incarnation=f"{number}")
            )
        except errors.QueueDoesNotExist:
            number = (number + 1) % int(count)
    driver.close()
    report(stored)


def post_whatever_happens(uri: str, name: str) -> None:
    """Post until told to stop; declare the queue again after each error.

    Reports "posting"; at the end the confirmed posts, each as a body and the time at which it began, and the number of
    errors that were logged.
    """
    logged: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: logged.append(record.getMessage())
    logging.getLogger("kombu_pool").addHandler(handler)
    stopped = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), stopped.set()), daemon=True).start()
    driver = drivers.open_data(uri)
    report("posting")
    confirmed = []
    for number in itertools.count():
        if stopped.is_set():
            break
        began = time.time()
        try:
            driver.message_controller.post("q", [{"ttl": None, "body": f"{name}{number}"}], None)
            confirmed.append((f"{name}{number}", began))
        except (errors.ConnectionError, errors.QueueDoesNotExist):
            with suppress(errors.ConnectionError):
                driver.queue_controller.create("q")
    driver.close()
    report([confirmed, len(logged)])


def hold_open(uri: str) -> None:
    """Keep a store open until told to stop, use it once more, and close it; report the number of its messages then."""
    driver = drivers.open_data(uri)
    driver.queue_controller.exists("q")
    report("open")
    sys.stdin.readline()
    report(driver.message_controller.count("q"))
    driver.close()
    report("closed")


def consume(uri: str) -> None:
    """Claim and delete until the queue is empty and marked as complete; report the bodies."""
    driver = drivers.open_data(uri)
    watch = driver.watch([(None, "q")])
    bodies = []
    while True:
        complete = driver.queue_controller.get("q").get("complete")
        claim, messages = driver.claim_controller.create("q", CLAIM, limit=16)
        if claim is None:
            if complete:
                break
            watch.wait(0.5)
            continue
        bodies += [message["body"] for message in messages]
        refused = driver.message_controller.delete_claimed("q", [(message["id"], claim) for message in messages])
        assert not refused
    watch.close()
    driver.close()
    report(bodies)


def identify(uri: str) -> None:
    """Report the identity of a store, as the process and as its forked child see it: null if they differ."""
    driver = drivers.open_data(uri)
    receiving, sending = os.pipe()
    if os.fork() == 0:
        driver.queue_controller.exists("q")
        os.write(sending, driver.identity.encode())
        os._exit(0)
    child = os.read(receiving, 100).decode()
    os.wait()
    report(driver.identity if child == driver.identity else None)


def hold_claim(uri: str, ttl: str) -> None:
    """Claim all messages, report the claim, and wait for the kill."""
    driver = drivers.open_data(uri)
    claim, _ = driver.claim_controller.create("q", {"ttl": float(ttl), "grace": 0}, limit=100)
    report(claim)
    time.sleep(2 * LIMIT)


def hold_lock(path: str, seconds: str) -> None:
    """Hold the write lock for ``seconds``."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    report("locked")
    time.sleep(float(seconds))
    connection.execute("ROLLBACK")


def hold_snapshot(path: str) -> None:
    """Read from a file until killed, as a backup does."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM queue").fetchone()
    report("reading")
    time.sleep(2 * LIMIT)


def open_and_post(uri: str) -> None:
    """Open a file on a signal, at the same time as other processes, and post to it."""
    report("ready")
    sys.stdin.readline()
    driver = drivers.open_data(uri)
    driver.queue_controller.create("q")
    driver.message_controller.post("q", [{"ttl": None, "body": 1}], None)
    driver.close()


def post_when_told(uri: str) -> None:
    """Open a file, and post to it on a signal."""
    driver = drivers.open_data(uri)
    report("ready")
    sys.stdin.readline()
    driver.message_controller.post("q", [{"ttl": None, "body": os.getpid()}], None)
    driver.close()


def wait_for_messages(uri: str) -> None:
    """Wait for messages, one after the other; report the end of each wait."""
    driver = drivers.open_data(uri)
    watch = driver.watch([(None, "q")])
    watch.wait(0)
    report("waiting")
    while watch.wait(LIMIT):
        now = time.time()
        _, messages = driver.claim_controller.create("q", CLAIM)
        for message in messages:
            if message["body"] == "end":
                return
            report(now)


def dead_letter_all(uri: str) -> None:
    """Move all dead messages on a signal; report how many."""
    driver = drivers.open_data(uri)
    report("ready")
    sys.stdin.readline()
    total = 0
    while moved := driver.dead_letter_all():
        total += moved
    report(total)


def publish_and_die(uri: str) -> None:
    """Publish the first dead letter, and die before the hook returns."""
    driver = drivers.open_data(uri)

    def publish(project: object, exchange: str, routing_key: object, message: dict) -> bool:
        report(message["body"])
        os.kill(os.getpid(), signal.SIGKILL)
        return True

    driver.dead_letter_hooks.publish = publish
    driver.dead_letter_all()


def post_until_sealed(uri: str) -> None:
    """Post to the incarnation "present" of a queue until that is gone; report the bodies of the confirmed posts."""
    driver = drivers.open_data(uri)
    report("ready")
    confirmed = []
    with suppress(errors.QueueDoesNotExist):
        for number in itertools.count():
            body = f"{os.getpid()}-{number}"
            driver.message_controller.post("q", [{"ttl": None, "body": body}], None, incarnation="present")
            confirmed.append(body)
    driver.close()
    report(confirmed)


def move(source: str, target: str, sealed: str, epoch: str) -> None:
    """Move the messages of a queue in small batches until none is left or a later epoch begins; report whether so."""
    leaving, entering = (drivers.open_data(uri).move_controller for uri in (source, target))
    report("ready")
    sys.stdin.readline()
    try:
        batch = entering.set_epoch("q", incarnation="opened", epoch=int(epoch))
        leaving.remove("q", batch, incarnation=sealed)
        while messages := leaving.take("q", limit=7, incarnation=sealed):
            entering.store("q", messages, incarnation="opened", epoch=int(epoch))
            leaving.remove("q", [message.id for message in messages], incarnation=sealed)
    except errors.MoveSuperseded:
        report("superseded")
    else:
        report("done")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
