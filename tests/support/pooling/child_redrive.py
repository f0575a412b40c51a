"""Programs that the tests of redriving run in child processes."""

from __future__ import annotations

import json
import os
import signal
import sys

from kombu_pool.pooling import DataDriver
from kombu_pool.testing import ManualClock
from tests.support.transport.child_programs import say

CLAIM = {"ttl": 60, "grace": 0}


def redrive(uri: str) -> None:
    """Redrive after a line on stdin; print how many dead letters were moved and duplicated."""
    driver = DataDriver(None, None, uri)
    say("ready")
    sys.stdin.readline()
    done = driver.redrive("dead")
    say(json.dumps([done.moved.get("work", 0), done.duplicated]))
    driver.close()


def consume(uri: str, queue: str) -> None:
    """Claim and acknowledge after a line on stdin, until the queue is empty and complete; print the bodies."""
    driver = DataDriver(None, None, uri)
    watch = driver.watch([(None, queue)])
    acked = []
    say("ready")
    sys.stdin.readline()
    while True:
        claim, messages = driver.claim_controller.create(queue, CLAIM, limit=7)
        if claim is not None:
            assert not driver.message_controller.delete_claimed(queue, [(each["id"], claim) for each in messages])
            acked += [each["body"] for each in messages]
        elif driver.queue_controller.get(queue).get("complete"):
            break
        else:
            watch.wait(0.2)
    watch.close()
    driver.close()
    say(json.dumps(acked))


def killed_before_storing(uri: str) -> None:
    """Redrive, and be killed after claiming, before the messages are stored in their queue."""
    driver = DataDriver(None, None, uri, clock=ManualClock())
    driver.dead_letter_hooks.restore_address = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    driver.redrive("dead")


def killed_before_removing(uri: str) -> None:
    """Redrive, and be killed after storing, before the dead letters are removed."""
    driver = DataDriver(None, None, uri, clock=ManualClock())
    driver.message_controller.delete_claimed = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    driver.redrive("dead")


def redrive_until_killed(uri: str) -> None:
    """Redrive, and print a line after each step."""
    driver = DataDriver(None, None, uri, clock=ManualClock())
    driver.redrive("dead", progress=lambda _: say("step"))


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
