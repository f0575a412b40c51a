"""Runs a function of this package in a child process, and reads its answers.

``python -m benchmarks.children MODULE FUNCTION ARGUMENTS`` is the child. The function returns one answer or yields
several; each is one line of JSON.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from typing_extensions import Self

ROOT = Path(__file__).parent.parent


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a process that can import this package and writes its files to the folder."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "TMPDIR": str(folder), "XDG_STATE_HOME": str(folder)}


class Child:
    """A function in a new process, which ends with the ``with`` block."""

    def __init__(
        self,
        function: Callable[..., Any],
        folder: Path,
        with_environment: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> None:
        self._name = f"{function.__module__}.{function.__name__}"
        self._log = folder / f"{self._name}-{os.urandom(4).hex()}.log"
        command = [sys.executable, "-m", __name__, function.__module__, function.__name__, json.dumps(arguments)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env={**environment(folder), **(with_environment or {})},
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        """Return whether the process is running."""
        return self._process.poll() is None

    def answer(self) -> Any:
        """Wait for the next answer.

        Raises:
            SystemExit: the process ended without an answer.
        """
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            raise SystemExit(f"{self._name} failed:\n{self._log.read_text()}")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self.is_running:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


def ask(function: Callable[..., Any], folder: Path, **arguments: Any) -> Any:
    """Run a function in a new process and return its only answer."""
    with Child(function, folder, **arguments) as child:
        return child.answer()


def main(module: str, function: str, arguments: str) -> None:
    """Run the function in the child process."""
    answers = getattr(import_module(module), function)(**json.loads(arguments))
    for answer in answers if inspect.isgenerator(answers) else [answers]:
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
