"""Programs that move a queue, in other processes, and post to it meanwhile."""

from __future__ import annotations

import json
import sys

from kombu_pool import drivers, errors
from tests.support.transport.child_programs import heard, say

#: Messages that are put aside together.
BATCH = 20
SOURCE, TARGET = "source", "target"


def post(uri: str, first: int) -> None:
    """Post numbers from the first one until the queue is sealed; print those that were confirmed."""
    driver = drivers.open_data(uri)
    confirmed = []
    say("ready")
    while True:
        body = first + len(confirmed)
        try:
            driver.message_controller.post(SOURCE, [{"ttl": 0, "body": body}], None, incarnation="present")
        except errors.QueueDoesNotExist:
            break
        confirmed.append(body)
    say(json.dumps(confirmed))


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
