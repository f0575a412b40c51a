"""Where a queue's life may stand, and what processes do to it from there."""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING

from kombu_pool.model import Expiry
from kombu_pool.testing import ManualClock
from tests.support.model.history import Action, Queue
from tests.support.model.schedules import every_schedule
from tests.support.model.world import LIFETIME, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from tests.support.model.schedules import Schedule


def absent(world):
    return known(world)


def declared(world):
    """The queue exists, with a message."""
    process = world.process()
    process.declare()
    process.post("before")
    world.start = Queue(True, frozenset({"before"}))
    return known(world)


def expired(world):
    """The lifetime of the queue is over."""
    process = world.process()
    process.declare(Expiry(LIFETIME, from_now=True))
    process.post("before")
    there = known(world)
    world.clock.advance(LIFETIME + 1)
    world.start = Queue(True, frozenset({"before"}), is_over=True)
    return there


def consumed(world):
    """The queue is deleted with its last consumer, and has one."""
    process = world.process()
    process.declare(Expiry(0.0))
    incarnation = process.attach("x")
    world.start = Queue(True, holders=frozenset({"x"}))
    return known(world, incarnation)


def being_deleted(world):
    """The process that deletes the queue stopped after its first step."""
    world.process().declare()
    there = known(world)
    found = world.control.catalogue_controller.find(None, "q")
    world.control.catalogue_controller.begin_deletion(None, "q", found.incarnation)
    world.start = Queue(True)
    world.history.unfinished.append(Action("delete"))
    return there


def known(world, incarnation=None):
    """Return the incarnation of the consumer that leaves, and processes that have the queue in their caches."""
    processes = [world.process() for _ in range(3)]
    for process in processes:
        process.cached = process.driver.catalog.route("q").pool.name or None
    return incarnation, processes


def declare_and_bind(process):
    process.declare()
    process.bind()


def declare_and_post(process, body):
    process.declare()
    process.post(body)


def cached(number):
    return lambda there, _: there[1][number].post(f"cached-{number}")


#: By name: what the process of a number does, given what is known at the start.
OPERATIONS = {
    "declare": lambda number: lambda _, process: declare_and_post(process, f"new-{number}"),
    "bind": lambda number: lambda _, process: process.bind(),
    "declare and bind": lambda number: lambda _, process: declare_and_bind(process),
    "post": lambda number: lambda _, process: process.post(f"post-{number}"),
    "cached": cached,
    "consume": lambda number: lambda _, process: process.consume(),
    "delete": lambda number: lambda _, process: process.delete(),
    "expire": lambda number: lambda _, process: process.expire(),
    "attach": lambda number: lambda _, process: process.attach("yz"[number % 2]),
    "leave": lambda number: lambda there, process: process.leave("x", there[0]),
    "end_deletions": lambda number: lambda _, process: process.driver.queue_controller.end_deletions(),
}
STARTS = {
    absent: ("declare", "post", "delete", "attach"),
    declared: ("declare", "bind", "post", "cached", "consume", "delete", "attach"),
    expired: ("declare", "cached", "delete", "expire", "attach"),
    consumed: ("declare", "cached", "delete", "attach", "leave"),
    being_deleted: ("declare", "declare and bind", "post", "cached", "delete", "attach", "end_deletions"),
}


def cases(size: int, preemptions: int) -> Iterator[tuple[Any, ...]]:
    """Yield the arguments of :func:`explore` for each combination of operations."""
    for start, names in STARTS.items():
        for chosen in itertools.combinations_with_replacement(names, size):
            yield start, chosen, preemptions


def play(
    world: World,
    schedule: Schedule,
    start: Callable[[World], Any],
    names: Sequence[str],
    stops: Mapping[int, int],
    does: Mapping[str, Any] = OPERATIONS,
) -> list[str]:
    """Let the processes do what is named, in the order of the schedule; return the faults that are left."""
    there = start(world)
    world.history.begin()
    works = [
        (partial(does[name](number), there, world.process()), stops.get(number)) for number, name in enumerate(names)
    ]
    world.run(schedule, works)
    world.settle()
    return world.faults()


def explore(
    start: Callable[[World], Any],
    names: Sequence[str],
    preemptions: int,
    stops: Mapping[int, int] = {},
    operations: Any = None,
    *,
    of: type[World] = World,
    played: Callable[..., list[str]] = play,
) -> tuple[int, list[Any]]:
    """Try every schedule; return how many there were, and those with faults."""
    tried, found = 0, []

    def run(schedule: Schedule) -> None:
        faults = played(of.in_memory(ManualClock(), operations), schedule, start, names, stops)
        if faults:
            found.append((start.__name__, names, stops, schedule.taken, faults))

    for _ in every_schedule(run, preemptions):
        tried += 1
    return tried, found
