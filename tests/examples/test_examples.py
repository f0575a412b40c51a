"""Each example runs as it is, says what it should, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

#: What an example prints, among other things.
SAYS = {
    "quickstart.py": ["[20/20] 19 + 19 = 38", "no server was installed"],
    "celery_app.py": [
        "after one retry: 100",
        "in half a second: 90",
        "one after another: 90",
        "all, then a report: 3 charges, 30 in all",
    ],
    "library.py": ["the urgent one first: {'item': 'cake'}", "lent again: [('tea', 2), ('milk', 2)]", "left: 0"],
    "two_pools_with_flavors.py": [
        "quick.db holds the queue metrics.page-views",
        "sure.db holds the queue payments",
        "page-view: {'path': '/'}",
        "payment: {'euros': 12}",
    ],
    "own_driver.py": ["claimed: ['tea', 'cake']", '"queue": "orders"'],
}


@pytest.mark.celery
@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs(name, tmp_path):
    environment = os.environ | {"TMPDIR": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert [said for said in SAYS[name] if said not in done.stdout] == []
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
    assert living(tmp_path) == []


def test_every_example_is_run():
    assert {path.name for path in EXAMPLES.glob("*.py")} - {"worker.py"} == set(SAYS)


def living(folder: Path) -> list[str]:
    """Name the processes that still run in a folder below this one."""
    running = psutil.process_iter(["name", "cwd"])
    return [each.info["name"] for each in running if Path(each.info["cwd"] or "/").is_relative_to(folder)]
