"""Programs that move a queue, in other processes, and post to it meanwhile."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from kombu_pool import drivers, errors
from tests.support.transport.child_programs import heard, say

if TYPE_CHECKING:
    from kombu_pool.storage import DataDriver

#: Messages that are put aside together.
BATCH = 20
SOURCE, TARGET = "source", "target"


def post(uri: str, first: int, together: int = 1) -> None:
    """Post numbers from the first one, some in each post, until the queue is sealed; print the confirmed ones."""
    driver = drivers.open_data(uri)
    confirmed: list[int] = []
    say("ready")
    while True:
        bodies = [first + len(confirmed) + number for number in range(together)]
        messages = [{"ttl": 0, "body": body} for body in bodies]
        try:
            driver.message_controller.post(SOURCE, messages, None, incarnation="present")
        except errors.QueueDoesNotExist:
            break
        confirmed += bodies
    say(json.dumps(confirmed))


def dead_letter(uri: str, name: str, first: int) -> None:
    """Reject numbers from the first one, whose dead-letter queue is the source, until that is sealed; print them."""
    driver = drivers.open_data(uri)
    driver.queue_controller.create(name, {"_dead_letter_queue": SOURCE})
    rejected: list[int] = []
    say("ready")
    while True:
        try:
            # Of each two, one may be dead-lettered after the seal, and stays.
            for _ in range(2):
                _reject(driver, name, first + len(rejected))
                rejected.append(first + len(rejected))
            driver.message_controller.post(SOURCE, [{"ttl": 0, "body": "probe"}], None, incarnation="present")
        except errors.QueueDoesNotExist:
            break
    say(json.dumps(rejected))


def _reject(driver: DataDriver, name: str, body: int) -> None:
    driver.message_controller.post(name, [{"ttl": 0, "body": body}], None)
    claim, claimed = driver.claim_controller.create(name, {"ttl": 60, "grace": 0})
    driver.message_controller.reject(name, [(one["id"], claim or "") for one in claimed])


def move(uri: str, epoch: int, sealed: str) -> None:
    """Move batches until the source is empty or another process has taken over; print how it ended."""
    driver = drivers.open_data(uri)
    moves = driver.move_controller
    try:
        moves.set_epoch(TARGET, incarnation="opened", epoch=epoch)
        say("ready")
        while batch := moves.take(SOURCE, limit=BATCH, incarnation=sealed):
            moves.store(TARGET, batch, incarnation="opened", epoch=epoch)
            moves.remove(SOURCE, [message.id for message in batch], incarnation=sealed)
        say("empty")
    except errors.MoveSuperseded:
        say("superseded")


def stall(uri: str, sealed: str) -> None:
    """Take a batch, and store it once another process has taken over; print how it ended."""
    moves = drivers.open_data(uri).move_controller
    moves.set_epoch(TARGET, incarnation="opened", epoch=1)
    batch = moves.take(SOURCE, limit=BATCH, incarnation=sealed)
    say("ready")
    heard()
    try:
        moves.store(TARGET, batch, incarnation="opened", epoch=1)
    except errors.MoveSuperseded:
        say("superseded")
    moves.remove(SOURCE, [message.id for message in batch], incarnation=sealed)
    say("done")


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
