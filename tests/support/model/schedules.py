"""Runs processes in every order of their calls to the stores; each call is one step, after which one may stop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from greenlet import greenlet

from kombu_pool import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class Stepwise:
    """A controller whose calls wait for their step."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            process = Process.running()
            if process is None:
                return value(*args, **kwargs)
            process.await_step()
            return process.make(name, partial(value, *args, **kwargs))

        self.__dict__[name] = call
        return call


class Process:
    """One process: it runs up to its next call, and makes that when it is stepped."""

    def __init__(self, work: Callable[[], None], stops_after: int | None) -> None:
        self._greenlet = greenlet(work)
        self._left = stops_after
        #: By name of a method: what becomes of its next call, whose answer the process does not get.
        self.lost: dict[str, Callable[[Callable[[], Any]], object]] = {}

    @staticmethod
    def running() -> Process | None:
        """Return the process that is running, None outside of any."""
        return getattr(greenlet.getcurrent(), "process", None)

    def await_step(self) -> None:
        """Go back to the schedule until the next step of this process."""
        assert self._greenlet.parent is not None
        self._greenlet.parent.switch()

    def make(self, name: str, call: Callable[[], Any]) -> Any:
        """Make a call, or lose it or its answer."""
        lose = self.lost.pop(name, None)
        if lose is None:
            return call()
        lose(call)
        raise errors.ConnectionError("the answer was lost")

    @property
    def runs(self) -> bool:
        """Whether the process has a step left."""
        return not self._greenlet.dead and self._left != 0

    def start(self) -> None:
        """Run to the first call."""
        self._greenlet.process = self  # type: ignore[attr-defined]
        self._greenlet.switch()

    def step(self) -> None:
        """Make the call at which the process waits, and run to the next one."""
        if self._left is not None:
            self._left -= 1
        self._greenlet.switch()

    def kill(self) -> None:
        """End the process where it is."""
        if not self._greenlet.dead:
            self._greenlet.throw()


class Schedule:
    """One order of the steps of some processes."""

    def __init__(self, choices: Sequence[int]) -> None:
        self._choices = choices
        #: For each step: the processes that could have made it, the one that did first.
        self.taken: list[list[int]] = []
        self.preemptions: list[int] = []
        #: Number of steps made.
        self.step = 0
        #: Called after each step.
        self.on_step: Callable[[], None] | None = None

    def run(self, processes: Sequence[Process]) -> None:
        """Run the processes to their ends: by the choices, then each as long as it runs."""
        for process in processes:
            process.start()
        last, preemptions = -1, 0
        while ready := [number for number, process in enumerate(processes) if process.runs]:
            options = [last, *(number for number in ready if number != last)] if last in ready else ready
            position = self._choices[len(self.taken)] if len(self.taken) < len(self._choices) else 0
            chosen = options[position % len(options)]
            preemptions += last in ready and chosen != last
            self.taken.append(options)
            self.preemptions.append(preemptions)
            self.step += 1
            last = chosen
            processes[chosen].step()
            if self.on_step is not None:
                self.on_step()
        for process in processes:
            process.kill()


def every_schedule(run: Callable[[Schedule], None], preemptions: int) -> Iterator[Schedule]:
    """Run every order of steps with at most so many switches away from a process that could have gone on."""
    choices: list[int] = []
    while True:
        schedule = Schedule(choices)
        run(schedule)
        yield schedule
        choices = [*choices, *[0] * (len(schedule.taken) - len(choices))]
        while choices and not _advance(choices, schedule, preemptions):
            choices.pop()
        if not choices:
            return


def _advance(choices: list[int], schedule: Schedule, preemptions: int) -> bool:
    """Make the last choice the next one; return False if there is none within the bound."""
    place = len(choices) - 1
    if choices[place] + 1 >= len(schedule.taken[place]):
        return False
    before = schedule.preemptions[place - 1] if place else 0
    could_go_on = place > 0 and _chosen(choices, schedule, place - 1) == schedule.taken[place][0]
    if before + could_go_on > preemptions:
        return False
    choices[place] += 1
    return True


def _chosen(choices: list[int], schedule: Schedule, place: int) -> int:
    return schedule.taken[place][choices[place]]
