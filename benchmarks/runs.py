"""One run of the benchmarks: full or quick, its folder, its progress."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from benchmarks.figures import Figure, LeftOut
    from benchmarks.progress import Progress

Choice = TypeVar("Choice")
Sample = TypeVar("Sample")

ROUNDS = 3


class Run:
    """The context of a benchmark."""

    def __init__(self, progress: Progress, folder: str | None = None, *, quick: bool = False) -> None:
        self.progress = progress
        self.quick = quick
        self._folder = folder

    def choose(self, full: Choice, quick: Choice) -> Choice:
        """Return the value for a full or for a quick run."""
        return quick if self.quick else full

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        """Yield an empty folder, which is deleted afterwards."""
        with tempfile.TemporaryDirectory(prefix="kombu_pool-bench-", dir=self._folder) as folder:
            yield Path(folder).resolve()

    def interleave(
        self, subjects: Mapping[str, Callable[[Path], Sample]], rounds: int = ROUNDS
    ) -> dict[str, list[Sample]]:
        """Measure the subjects alternately, each time in a new folder, and return the samples of each."""
        samples: dict[str, list[Sample]] = {name: [] for name in subjects}
        rounds = self.choose(rounds, 1)
        with self.progress.steps(rounds * len(subjects)) as step:
            for _ in range(rounds):
                for name, measure in subjects.items():
                    step(name)
                    with self.fresh() as folder:
                        samples[name].append(measure(folder))
        return samples


class Benchmark(NamedTuple):
    """A question and its measurement."""

    name: str
    question: str
    measure: Callable[[Run], Iterable[Figure | LeftOut]]
