"""The move of a queue from pool a to pool b, step by step."""

from __future__ import annotations

from kombu_pool.testing.handles import QueueHandle


def plan(queue, *, copies=True, target="b"):
    return queue.driver.catalog.moves.plan(queue.name, queue.project, target, copies=copies, holder="mover")


def step(queue):
    """Make the next step; return the assignment after it."""
    moves = queue.driver.catalog.moves
    return moves.step(queue.name, queue.project, moves.find(queue.name, queue.project))


def step_to(queue, phase, *, copies=True):
    """Move a queue up to a phase."""
    found = plan(queue, copies=copies)
    while found.move.phase != phase:
        found = step(queue)
    return found


def free_in(stores, pool, name="of-a"):
    return QueueHandle(stores.leaf(pool), name, None).free()
