"""Builds the sdist and the wheel, and uses each where nothing else is installed.

A step that fails prints what its command said, and ends the check with status 1.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.support.release.interpreters import Interpreter, oldest_and_newest

ROOT = Path(__file__).parents[3]
#: What the sdist runs of its own tests: what needs no server, in a few minutes.
OWN_TESTS = ("tests/pooling", "tests/drivers/memory", "tests/drivers/sqlite", "tests/test_registration.py")
#: Imports every module; one may lack only a package of an extra that is not installed.
IMPORTS = """
import importlib, pkgutil, kombu_pool
extras = {"pymongo", "redis", "hiredis", "bson", "pytest", "hypothesis", "starlette", "uvicorn", "jinja2",
          "prometheus_client", "flower", "oslotest"}
def ignore(name): pass
count = 0
for found in pkgutil.walk_packages(kombu_pool.__path__, "kombu_pool.", onerror=ignore):
    try:
        importlib.import_module(found.name)
        count += 1
    except ImportError as error:
        assert (error.name or "").partition(".")[0] in extras, (found.name, error)
print(count, "modules, from", kombu_pool.__path__[0])
assert "site-packages" in kombu_pool.__path__[0]
"""


class StepError(Exception):
    """A command of a step failed; its text is what the command printed."""


class Environment(NamedTuple):
    """A bare environment of one interpreter."""

    interpreter: Interpreter
    folder: Path

    @classmethod
    def of(cls, interpreter: Interpreter, folder: Path) -> Environment:
        """Make it."""
        run([interpreter.program, "-m", "venv", str(folder)])
        return cls(interpreter, folder)

    @property
    def python(self) -> str:
        """Its program."""
        return str(self.folder / "bin" / "python")

    def install(self, *what: str) -> None:
        """Install packages."""
        run([self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what])


def run(command: list[str], cwd: Path = ROOT, **variables: str) -> str:
    """Run a command and return what it printed; raises StepError."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**kept, **variables},
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        raise StepError(f"$ {' '.join(command)}\n{done.stdout}")
    return done.stdout


def build(folder: Path) -> tuple[Path, Path]:
    """Return the sdist of this tree, and the wheel that is built from the sdist."""
    run([sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)])
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def check_metadata(*files: Path) -> str:
    """Check what a package index shows."""
    return run([sys.executable, "-m", "twine", "check", "--strict", *map(str, files)])


def check_changelog(wheel: Path) -> str:
    """Check that the changelog has a section of this version, or one of what is not released."""
    version = wheel.name.split("-")[1]
    sections = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if version not in sections and "Unreleased" not in sections:
        raise StepError(f"CHANGELOG.md has no section [{version}], only {', '.join(sections)}")
    return f"{version}: {'released' if version in sections else 'in the section of what is not released'}"


def check_installed(environment: Environment, package: Path, folder: Path) -> str:
    """Install a package with its extra for Celery, import its modules, and run the first example from elsewhere."""
    environment.install(f"kombu-pool[celery] @ {package.as_uri()}")
    imported = run([environment.python, "-c", IMPORTS], folder)
    ended = run([environment.python, str(ROOT / "examples" / "quickstart.py")], folder, PYTHONDONTWRITEBYTECODE="1")
    if "20 of 20 done" not in ended:
        raise StepError(ended)
    return imported.partition(", from")[0] + ", 20 of 20 tasks"


def check_own_tests(environment: Environment, sdist: Path, folder: Path) -> str:
    """Run tests of the sdist in its own tree."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (tree,) = (path for path in folder.iterdir() if path.is_dir())
    environment.install(f"{tree}[test]")
    command = [environment.python, "-m", "pytest", "-q", "-n", "4", "-p", "no:cacheprovider", *OWN_TESTS]
    return run(command, tree).splitlines()[-1].strip("= ")


def main() -> int:
    """Run the steps, a line each; return the exit status."""
    interpreters = oldest_and_newest(re.search(r'requires-python = "(.+)"', (ROOT / "pyproject.toml").read_text())[1])
    with tempfile.TemporaryDirectory(prefix="kombu_pool-release-") as name:
        folder = Path(name)
        try:
            sdist, wheel = step(
                "build", build, folder / "dist", shows=lambda built: ", ".join(one.name for one in built)
            )
            step("metadata", check_metadata, sdist, wheel, shows=lambda _: "a package index can show it")
            step("changelog", check_changelog, wheel)
            for interpreter in interpreters:
                for package, kind in ((wheel, "wheel"), (sdist, "sdist")):
                    environment = Environment.of(interpreter, folder / f"{kind}-{interpreter.version[1]}")
                    step(f"{kind}, {interpreter}", check_installed, environment, package, folder)
            step(f"own tests, {interpreter}", check_own_tests, environment, sdist, folder / "tree")
        except StepError as error:
            print(f"failed\n{error}", flush=True)
            return 1
    return 0


def step(title, check, *arguments, shows=str):
    """Run one step, print what it found and how long it took, and return it."""
    print(f"{title} ... ", end="", flush=True)
    began = time.monotonic()
    found = check(*arguments)
    print(f"{shows(found)} ({time.monotonic() - began:.0f} s)", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
