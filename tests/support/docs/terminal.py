"""A folder and a shell in which the blocks of the documentation are run as they are written."""

from __future__ import annotations

import os
import re
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
_FILE = re.compile(r"# (\w+\.py)$", re.MULTILINE)
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

    def write(self, block: Block, before: str = "", after: str = "") -> None:
        """Store a Python block in the file that a comment on its first line names."""
        first = block.text.partition("\n")[0]
        (self.folder / _FILE.search(first)[1]).write_text(before + self.substitute(block.text) + after)

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
            said = self.run(command)
            assert not shown or _cells(said) == _cells(shown), f"{command}\n{said}"
            printed += said
        return printed

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
        """End all workers; each of them has to end well."""
        for process, _ in self._workers:
            process.terminate()
        codes = [self._end(process) for process, _ in self._workers]
        assert not any(codes), self.log()

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return os.environ | {"PATH": path, "XDG_STATE_HOME": str(self.folder / "state"), "COLUMNS": "300"}


def _commands(text: str) -> list[tuple[str, str]]:
    """Return each command of a console block with the output that the page shows below it."""
    typed = [part.partition("\n") for part in re.split(r"^\$ ", text, flags=re.MULTILINE) if part]
    return [(command.partition("   # ")[0].strip(), shown) for command, _, shown in typed]


def _cells(table: str) -> list[list[str]]:
    """Return the cells of a table, whichever way it is printed, without what differs from run to run."""
    lines = [re.split(r"\t|\s{2,}", _VARIES.sub("*", line).strip()) for line in table.splitlines()]
    return [[cell for cell in line if cell] for line in lines]
