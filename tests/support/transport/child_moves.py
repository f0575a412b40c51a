"""A program that moves a queue, and is killed or stopped by the tests of the upkeep of moves."""

from __future__ import annotations

import json
import sys

from kombu_pool.pooling import DataDriver
from kombu_pool.transport import processes
from tests.support.transport.child_programs import say


def move(control: str, queue: str, target: str, steps: int, copies: bool) -> None:
    """Make some steps of a move, say so, and wait."""
    driver = DataDriver(None, None, control)
    moves = driver.catalog.moves
    found = moves.plan(queue, None, target, copies=copies, holder=processes.new_owner_id())
    for _ in range(steps):
        found = moves.step(queue, None, found)
    say("made")
    sys.stdin.readline()


def put_aside(control: str, queue: str, target: str) -> None:
    """Copy a batch without removing it from the source, say so, and wait."""
    driver = DataDriver(None, None, control)
    moves = driver.catalog.moves
    found = moves.plan(queue, None, target, copies=True, holder=processes.new_owner_id())
    for _ in range(2):
        found = moves.step(queue, None, found)
    at = found.move
    batch = driver.catalog.get_driver(at.source).move_controller.take(queue, None, 50, incarnation=at.sealed)
    store = driver.catalog.get_driver(at.target).move_controller.store
    store(queue, batch, None, incarnation=at.opened, epoch=at.epoch)
    say("made")
    sys.stdin.readline()


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
