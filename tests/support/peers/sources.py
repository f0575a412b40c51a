"""Kombu's and Celery's own tests, out of the source distributions of the installed versions: a wheel has none.

``python -m tests.support.peers.sources kombu celery`` fetches them into the virtual environment.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

_ROOT = Path(sys.prefix) / "peers"


def folder(project: str) -> Path:
    """Return the folder of the tests of the installed version of a project, which exists once they are fetched."""
    return _ROOT / f"{project}-{importlib.metadata.version(project)}"


def fetch(project: str) -> Path:
    """Fetch the tests of the installed version of a project, unless they are there; return their folder."""
    target = folder(project)
    if not target.exists():
        _ROOT.mkdir(exist_ok=True)
        # Beside the target: a rename then shows all of it at once.
        with tempfile.TemporaryDirectory(dir=_ROOT) as scratch:
            _extract(_download(project, Path(scratch)), Path(scratch) / "tests")
            (Path(scratch) / "tests").rename(target)
    return target


def _download(project: str, into: Path) -> Path:
    version = importlib.metadata.version(project)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-binary", project, "--dest", into, f"{project}=={version}"], check=True)
    return next(into.glob("*.tar.gz"))


def _extract(archive: Path, into: Path) -> None:
    """Extract the folder ``t`` and pytest's options, but not the package, which would hide the installed one."""
    with tarfile.open(archive) as source:
        if hasattr(tarfile, "data_filter"):
            source.extraction_filter = tarfile.data_filter
        source.extractall(into, [member for member in source.getmembers() if _is_wanted(member.name)])  # noqa: S202 - filtered
    (root,) = into.iterdir()
    for entry in root.iterdir():
        shutil.move(entry, into)
    root.rmdir()


def _is_wanted(name: str) -> bool:
    _, _, path = name.partition("/")
    return path.startswith("t/") or path in {"pyproject.toml", "setup.cfg"}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        fetch(name)
