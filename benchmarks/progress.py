"""Displays the progress of a run: a bar on a terminal where rich is installed, else a line for each step."""

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
    """The display of the progress."""

    def begin(self, name: str) -> None:
        """Begin a benchmark."""

    def steps(self, total: int) -> AbstractContextManager[Callable[[str], None]]:
        """Yield a function to call with the name of each of ``total`` steps when it begins."""


class Lines:
    """Prints a line for each step."""

    def __init__(self, benchmarks: int) -> None:
        self._benchmarks = benchmarks
        self._begun = 0
        self._name = ""
        self._began = time.monotonic()

    def begin(self, name: str) -> None:
        self._begun += 1
        self._name = name

    @contextmanager
    def steps(self, total: int) -> Iterator[Callable[[str], None]]:
        done = 0

        def step(name: str) -> None:
            nonlocal done
            done += 1
            seconds = time.monotonic() - self._began
            place = f"[{self._begun}/{self._benchmarks}] {self._name} {done}/{total}"
            print(f"{seconds:5.0f} s  {place}: {name}", file=sys.stderr, flush=True)

        yield step


class Rich:
    """Displays one bar for all benchmarks and one for the steps of the current one."""

    def __init__(self, bars: Bars, benchmarks: int) -> None:
        self._bars = bars
        self._all: TaskID = bars.add_task("all benchmarks", total=benchmarks)
        self._begun = 0
        self._name = ""

    def begin(self, name: str) -> None:
        self._name = name
        self._bars.update(self._all, completed=self._begun)
        self._begun += 1

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
def display(benchmarks: int) -> Iterator[Progress]:
    """Display the progress of a run of that many benchmarks."""
    if find_spec("rich") is None or not sys.stderr.isatty():
        yield Lines(benchmarks)
        return
    from rich.console import Console  # noqa: PLC0415 - an extra that may be missing
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.progress import Progress as Bars  # noqa: PLC0415

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        yield Rich(bars, benchmarks)
