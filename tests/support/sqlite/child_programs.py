"""What the tests here run in processes of their own: ``python programs.py NAME URI ARGUMENTS``."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import time

from kombu_pool import drivers

CLAIM = {"ttl": 60, "grace": 0}


def say(what: object) -> None:
    """Tell the test something."""
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


def post(uri: str, first: str, count: str) -> None:
    """Post numbered messages, one at a time; say how long the slowest took."""
    driver = drivers.open_data(uri)
    slowest = 0.0
    for number in range(int(first), int(first) + int(count)):
        began = time.monotonic()
        driver.message_controller.post("q", [{"ttl": None, "body": number}], None)
        slowest = max(slowest, time.monotonic() - began)
    driver.close()
    say(slowest)


def consume(uri: str, seconds: str) -> None:
    """Claim and delete until nothing has come for a while; say what came."""
    driver = drivers.open_data(uri)
    watch = driver.watch([(None, "q")])
    bodies = []
    while True:
        claim, messages = driver.claim_controller.create("q", CLAIM, limit=16)
        if claim is None:
            if not watch.wait(float(seconds)):
                break
            continue
        bodies += [message["body"] for message in messages]
        refused = driver.message_controller.delete_claimed("q", [(message["id"], claim) for message in messages])
        assert not refused
    watch.close()
    driver.close()
    say(bodies)


def hold_claim(uri: str, ttl: str) -> None:
    """Claim everything and wait to be killed."""
    driver = drivers.open_data(uri)
    claim, _ = driver.claim_controller.create("q", {"ttl": float(ttl), "grace": 0}, limit=100)
    say(claim)
    time.sleep(60)


def hold_lock(path: str, seconds: str) -> None:
    """Keep everybody from writing for a while."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    say("locked")
    time.sleep(float(seconds))
    connection.execute("ROLLBACK")


def hold_snapshot(path: str) -> None:
    """Read from a file, as a backup does, until killed."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM queue").fetchone()
    say("reading")
    time.sleep(60)


def found(uri: str) -> None:
    """Open a file, when told to, that others open at the same time."""
    say("ready")
    sys.stdin.readline()
    driver = drivers.open_data(uri)
    driver.queue_controller.create("q")
    driver.message_controller.post("q", [{"ttl": None, "body": 1}], None)
    driver.close()


def wait(uri: str) -> None:
    """Wait for messages, one after the other, and say when each wait ended."""
    driver = drivers.open_data(uri)
    watch = driver.watch([(None, "q")])
    watch.wait(0)
    say("waiting")
    while watch.wait(5):
        now = time.time()
        _, messages = driver.claim_controller.create("q", CLAIM)
        for message in messages:
            if message["body"] == "end":
                return
            say(now)


def bury(uri: str) -> None:
    """Bury, when told to, all that is dead; say how much that was."""
    driver = drivers.open_data(uri)
    say("ready")
    sys.stdin.readline()
    buried = 0
    while True:
        again = driver.dead_letter_all()
        if not again:
            break
        buried += again
    say(buried)


def publish_and_die(uri: str) -> None:
    """Bury, and be killed when the first letter is published but nothing was heard of it yet."""
    driver = drivers.open_data(uri)

    def publish(project: object, exchange: str, routing_key: object, message: dict) -> bool:
        say(message["body"])
        os.kill(os.getpid(), signal.SIGKILL)
        return True

    driver.dead_letter_hooks.publish = publish
    driver.dead_letter_all()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
