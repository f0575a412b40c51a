"""Where a queue's move may stand, and what processes do to the queue from there."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING

from kombu_pool.moves import COPYING, DRAINING, MOVED
from kombu_pool.storage import IDEMPOTENCY_WINDOW
from tests.support.model import scenarios
from tests.support.model.history import Queue
from tests.support.model.moves import MoveWorld
from tests.support.model.scenarios import known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from tests.support.model.schedules import Schedule

MESSAGES = ("before-1", "before-2", "before-3")


def declared(world):
    """The queue has messages, of which a consumer holds the first; other processes have it in their caches."""
    process = world.process()
    process.declare()
    for body in MESSAGES:
        process.post(body)
    process.hold()
    world.start = Queue(True, frozenset(MESSAGES), held=frozenset({world.held[0]}))
    return known(world)


def _moving(world, phase, steps=None, *, copies=True):
    """Return what is known after some steps of a mover that stopped then; None: those up to the phase."""
    there, process = declared(world), world.process()
    moves, found = process.driver.catalog.moves, process.plan(copies=copies)
    while steps or (steps is None and found.move.phase != phase):
        found = moves.step("q", None, found)
        steps = steps and steps - 1
    return there


def planned(world):
    return _moving(world, None, steps=0)


def prepared(world):
    return _moving(world, None, steps=1)


def copying(world):
    return _moving(world, COPYING)


def draining(world):
    return _moving(world, DRAINING, copies=False)


def moved(world):
    """The queue has moved, and what is left of it in its first pool may be deleted."""
    there = declared(world)
    process = world.process()
    process.settle_held()
    process.move(copies=True)
    assert process.driver.catalog.moves.find("q").move.phase == MOVED
    world.clock.advance(IDEMPOTENCY_WINDOW + 1)
    world.start = Queue(True, frozenset(MESSAGES[1:]))
    return there


def post_two(process, number):
    process.post(f"post {number}-1")
    process.post(f"post {number}-2")


def cached_post(number):
    return lambda there, _: there[1][number].post(f"cached {number}-1")


#: By name: what the process of a number does, given what is known at the start.
OPERATIONS = {
    "declare": lambda number: lambda _, process: process.declare(),
    "post": lambda number: lambda _, process: post_two(process, number),
    "cached post": cached_post,
    "consume": lambda number: lambda _, process: process.consume(),
    "cached consume": lambda number: lambda there, _: there[1][number].consume(),
    "settle": lambda number: lambda there, _: there[1][number].settle_held(),
    "release": lambda number: lambda _, process: process.release_held(),
    "answer lost": lambda number: lambda there, _: there[1][number].post_again(f"again {number}", lambda call: call()),
    "post lost": lambda number: lambda there, _: there[1][number].post_again(f"again {number}", lambda call: None),
    "post late": lambda number: (
        lambda there, process: there[1][number].post_again(f"again {number}", there[1][number].world.late.append)
    ),
    "arrive": lambda number: lambda _, process: process.arrive(),
    "delete": lambda number: lambda _, process: process.delete(),
    "expire": lambda number: lambda _, process: process.expire(),
    "attach": lambda number: lambda _, process: process.attach("yz"[number % 2]),
    "end_deletions": lambda number: lambda _, process: process.driver.queue_controller.end_deletions(),
    "copy": lambda number: lambda _, process: process.move(copies=True),
    "drain": lambda number: lambda _, process: process.move(copies=False),
    "continue": lambda number: lambda _, process: process.take_over(),
    "abort": lambda number: lambda _, process: process.abort(),
    "collect": lambda number: lambda _, process: process.collect(),
}
#: What changes where a queue is.
MOVERS = ("copy", "drain", "continue", "abort", "collect")
#: One more than the steps that each makes from any start.
_MOST_STEPS_OF = {"copy": 49, "drain": 49, "continue": 46, "abort": 14, "collect": 6, "delete": 14}
USES = ("declare", "post", "cached post", "cached consume", "settle", "release", "answer lost", "post lost", "delete")
STARTS = {
    declared: ("copy", "drain", *USES, "consume", "attach", "expire"),
    planned: ("continue", "abort", *USES, "attach"),
    prepared: ("continue", "abort", *USES, "consume", "attach"),
    copying: ("continue", "abort", *USES, "consume", "attach"),
    draining: ("continue", *USES, "consume"),
    moved: ("collect", "copy", "drain", "declare", "cached post", "cached consume", "delete"),
}


def cases(size: int, preemptions: int, movers: int = 1) -> Iterator[tuple[Any, ...]]:
    """Yield the arguments of :func:`explore` for each combination of operations with so many movers at least."""
    for start, names in STARTS.items():
        for chosen in itertools.combinations_with_replacement(names, size):
            if sum(name in MOVERS for name in chosen) >= movers:
                yield start, chosen, preemptions


def stopped(preemptions: int, starts: Sequence[Any] = tuple(STARTS)) -> Iterator[tuple[Any, ...]]:
    """Yield the arguments for a process that stops after each number of its steps, and another process."""
    for start in starts:
        names = STARTS[start]
        for stops, other in itertools.product((*(name for name in names if name in MOVERS), "delete"), names):
            for steps in range(1, _MOST_STEPS_OF[stops]):
                yield start, (stops, other), preemptions, {0: steps}


def play(world: MoveWorld, schedule: Schedule, start: Any, names: Sequence[str], stops: Mapping[int, int]) -> list[str]:
    """Let the processes do what is named; return the faults that are left."""
    world.has_stopped = bool(stops)
    # Two consumers may overtake each other, and what a consumer had that stopped comes again.
    world.is_ordered = not stops and sum("consume" in name for name in names) <= 1
    return scenarios.play(world, schedule, start, names, stops, OPERATIONS)


explore = partial(scenarios.explore, of=MoveWorld, played=play)
