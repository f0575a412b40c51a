"""What the tests of redriving run in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import sys

from kombu_pool.clock import ManualClock
from kombu_pool.pooling import DataDriver
from tests.support.transport.child_programs import say

CLAIM = {"ttl": 60, "grace": 0}


def redrive(uri: str) -> None:
    """Give back, when told to, what is dead; say how much that was."""
    driver = DataDriver(None, None, uri)
    say("ready")
    sys.stdin.readline()
    done = driver.redrive("dead")
    say(json.dumps([done.moved.get("work", 0), done.duplicated]))
    driver.close()


def consume(uri: str, queue: str) -> None:
    """Claim and acknowledge, when told to, until nothing is left and nothing more comes; say what was acknowledged."""
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


def die_before_it_stores(uri: str) -> None:
    """Be killed while letters are claimed and not stored yet."""
    driver = DataDriver(None, None, uri, clock=ManualClock())
    driver.dead_letter_hooks.restore_address = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    driver.redrive("dead")


def die_before_it_removes(uri: str) -> None:
    """Be killed while letters are stored where they belong and not removed yet."""
    driver = DataDriver(None, None, uri, clock=ManualClock())
    driver.message_controller.delete_claimed = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    driver.redrive("dead")


def redrive_until_killed(uri: str) -> None:
    """Give back what is dead, and say after each step that one is done."""
    driver = DataDriver(None, None, uri, clock=ManualClock())
    driver.redrive("dead", progress=lambda _: say("step"))


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
