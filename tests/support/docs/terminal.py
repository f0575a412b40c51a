"""A folder and a shell in which the blocks of the documentation are run as they are written."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.celery.worker import eventually
from tests.support.limits import LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.docs.pages import Block

#: Options of a worker that a test starts by itself: without neighbours it starts a second faster.
QUICK = "--pool=solo --without-mingle --without-gossip --without-heartbeat --loglevel=INFO"
_FILE = re.compile(r"# ([\w/]+\.py)$", re.MULTILINE)
#: A command that only reads, and that a reader would repeat until its answer has come.
_READING = re.compile(r"celery -A \w+ pool (?:dead|ls|queues|tasks)\b(?!.*--delete)")
#: What differs from run to run: ids, pids before a time, times, ages, sizes, tags of consumers.
_VARIES = re.compile(
    r"\b[0-9a-f]{16,}\b|(\b\d+\s+)?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00"
    r"|\b\d+s\b|\b\d+m\d\ds\b|\b\d+(\.\d)? [kMG]?B\b|\bNone\d+\b|\"oldest_age\": [\d.]+"
)


@dataclass
class Terminal:
    """Runs commands; ``replaced`` maps texts of the blocks (paths, addresses) to what stands for them here."""

    folder: Path
    replaced: Mapping[str, str] = field(default_factory=dict)
    _workers: list[tuple[subprocess.Popen[bytes], Path]] = field(default_factory=list)

    def substitute(self, text: str) -> str:
        for written, meant in self.replaced.items():
            text = text.replace(written, meant)
        return text

    def write(self, block: Block, before: str = "", after: str = "") -> str:
        """Store a Python block in the file that a comment on its first line names; return the name."""
        name = file_of(block)
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(before + self.substitute(block.text) + after)
        return name

    def create(self, file: str, text: str) -> None:
        (self.folder / file).write_text(text)

    def append(self, block: Block, file: str, before: str = "") -> None:
        """Add a Python block to a file."""
        with (self.folder / file).open("a") as output:
            output.write("\n" + before + self.substitute(block.text))

    def python(self, block: Block, before: str = "", after: str = "") -> str:
        """Run a Python block in a process of its own; return what it printed."""
        (self.folder / "block.py").write_text(before + self.substitute(block.text) + after)
        return self.run("python -W error::DeprecationWarning block.py")

    def console(self, block: Block) -> str:
        """Run the commands of a block as typed, compare what they print with what the page shows, return the former."""
        printed = ""
        for command, shown in _commands(self.substitute(block.text)):
            if command.endswith("&"):
                self.worker(command.removesuffix("&"))
                continue
            printed += self._answer(command, shown)
        return printed

    def _answer(self, command: str, shown: str) -> str:
        """Run a command of a block; one that only reads is repeated until it prints what the page shows."""
        said = self.run(command)
        if shown and _READING.match(command):
            eventually(lambda: _cells(self.run(command)) == _cells(shown), LIMIT, lambda: f"{command}\n{said}")
        elif shown:
            assert _cells(said) == _cells(shown), f"{command}\n{said}"
        if command.startswith("kill "):
            self.wait_for_workers()
        return said

    def wait_for_workers(self) -> None:
        """Wait until the workers have ended, as they were told."""
        for process, _ in self._workers:
            if _is_worker(process):
                process.wait(LIMIT)

    def run(self, command: str) -> str:
        """Run a command until it ends well; return what it printed."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self._environment(), capture_output=True, text=True,
            timeout=2 * LIMIT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}{self.log()}"
        return done.stdout

    def log(self) -> str:
        """Return what the workers printed."""
        return "".join(log.read_text() for _, log in self._workers)

    def worker(self, command: str, *, ready: bool = False) -> None:
        """Start a worker, which runs until the terminal is closed; a task that is sent meanwhile waits for it."""
        log = self.folder / f"worker-{len(self._workers)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self._environment(),
                stdout=output,
                stderr=output,
            )
        self._workers.append((process, log))
        if ready:
            eventually(lambda: " ready." in log.read_text() or process.poll() is not None, LIMIT, log.read_text)
            assert process.poll() is None, log.read_text()

    def close(self) -> None:
        """End all workers, then the servers that they need; each of them has to end well."""
        started = [process for process, _ in self._workers]
        workers = [process for process in started if _is_worker(process)]
        codes = self._end(workers)
        # A web server may end by the signal itself.
        others = {*self._end([process for process in started if process not in workers])} - {-signal.SIGTERM}
        assert not any([*codes, *others]), self.log()

    def _end(self, processes: list[subprocess.Popen[bytes]]) -> list[int]:
        for process in processes:
            process.terminate()
        return [self._code_of(process) for process in processes]

    def _code_of(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return os.environ | {"PATH": path, "XDG_STATE_HOME": str(self.folder / "state"), "COLUMNS": "300"}


def _is_worker(process: subprocess.Popen[bytes]) -> bool:
    return "celery " in process.args[-1]


def file_of(block: Block) -> str | None:
    """Return the file that a Python block names on its first line, or None if it names none."""
    found = _FILE.search(block.text.partition("\n")[0])
    return found and found[1]


def _commands(text: str) -> list[tuple[str, str]]:
    """Return each command of a console block with the output that the page shows below it."""
    typed = [part.partition("\n") for part in re.split(r"^\$ ", text, flags=re.MULTILINE) if part]
    return [(command.partition("   # ")[0].strip(), shown) for command, _, shown in typed]


def _cells(table: str) -> list[list[str]]:
    """Return the cells of a table, whichever way it is printed, without what differs from run to run."""
    lines = [re.split(r"\t|\s{2,}", _VARIES.sub("*", line).strip()) for line in table.splitlines()]
    return [[cell for cell in line if cell] for line in lines]
