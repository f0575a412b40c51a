"""Shows how far a run has come: a bar where rich is installed and somebody looks, else a line for each step."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress as Bars
    from rich.progress import TaskID


class Progress(Protocol):
    """What a benchmark tells of its progress."""

    def question(self, name: str) -> None:
        """Say which benchmark begins."""

    def steps(self, total: int) -> AbstractContextManager[Callable[[str], None]]:
        """Lend a function to be called with the name of each of so many steps when it begins."""


class Lines:
    """A line for each step."""

    def __init__(self, questions: int) -> None:
        self._questions = questions
        self._asked = 0
        self._name = ""
        self._began = time.monotonic()

    def question(self, name: str) -> None:
        self._asked += 1
        self._name = name

    @contextmanager
    def steps(self, total: int) -> Iterator[Callable[[str], None]]:
        done = 0

        def step(name: str) -> None:
            nonlocal done
            done += 1
            seconds = time.monotonic() - self._began
            place = f"[{self._asked}/{self._questions}] {self._name} {done}/{total}"
            print(f"{seconds:5.0f} s  {place}: {name}", file=sys.stderr, flush=True)

        yield step


class Rich:
    """One bar for the questions and one for the steps of the question that is being asked."""

    def __init__(self, bars: Bars, questions: int) -> None:
        self._bars = bars
        self._all: TaskID = bars.add_task("all questions", total=questions)
        self._asked = 0
        self._name = ""

    def question(self, name: str) -> None:
        self._name = name
        self._bars.update(self._all, completed=self._asked)
        self._asked += 1

    @contextmanager
    def steps(self, total: int) -> Iterator[Callable[[str], None]]:
        bar = self._bars.add_task(self._name, total=total)
        begun = 0

        def step(name: str) -> None:
            nonlocal begun
            self._bars.update(bar, completed=begun, description=f"{self._name}: {name}")
            begun += 1

        try:
            yield step
        finally:
            self._bars.remove_task(bar)


@contextmanager
def shown(questions: int) -> Iterator[Progress]:
    """Show the progress of a run of so many questions."""
    if find_spec("rich") is None or not sys.stderr.isatty():
        yield Lines(questions)
        return
    from rich.console import Console  # noqa: PLC0415 - an extra that may be missing
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.progress import Progress as Bars  # noqa: PLC0415

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        yield Rich(bars, questions)
