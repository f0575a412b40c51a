"""Each example runs unchanged, prints the expected lines, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis

from kombu_pool.drivers.redis.keys import store_key
from tests.support.limits import LIMIT
from tests.support.servers.redis_shared import fresh_uri
from tests.support.transport.traffic import eventually

EXAMPLES = Path(__file__).parents[2] / "examples"

#: Example -> lines in its output.
OUTPUT = {
    "quickstart.py": ["[20/20] 19 + 19 = 38", "no server was installed"],
    "celery_app.py": [
        "after one retry: 100",
        "in half a second: 90",
        "one after another: 90",
        "all, then a report: 3 charges, 30 in all",
    ],
    "library.py": ["first, by priority: {'item': 'cake'}", "claimed again: [('tea', 2), ('milk', 2)]", "left: 0"],
    "two_pools_with_flavors.py": [
        "quick.db holds the queue metrics.page-views",
        "sure.db holds the queue payments",
        "page-view: {'path': '/'}",
        "payment: {'euros': 12}",
    ],
    "redis_pools.py": [
        "The Redis holds metrics.page-views, messages: 1",
        "The file holds payments, messages: 1",
        "page-view: {'path': '/'}",
        "payment: {'euros': 12}",
    ],
    "django_site/run.py": ["12 + 30 = 42"],
    "flask_app.py": ["2 + 3 = 5"],
    "own_driver.py": ["claimed: ['tea', 'cake']", "'storage_reachable': True"],
}


@pytest.mark.celery
@pytest.mark.parametrize("name", OUTPUT)
def test_an_example_runs(name, tmp_path):
    done = run(name, tmp_path, REDIS_URL=fresh_uri() if "redis" in name else "")

    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in OUTPUT[name] if line not in done.stdout] == []
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
    assert running_in(tmp_path) == []


def test_the_redis_of_an_example_is_left_as_it_was(tmp_path):
    uri = fresh_uri()

    run("redis_pools.py", tmp_path, uri)

    with redis.Redis.from_url(uri, socket_timeout=LIMIT) as client:
        # The wake-ups of deleted queues expire by themselves.
        eventually(lambda: client.keys() == [store_key("kombu-pool-example", "layout")])


def test_an_example_without_its_redis_says_what_it_needs(tmp_path):
    done = run("redis_pools.py", tmp_path, REDIS_URL="")

    assert done.returncode == 1
    assert "redis_pools.py redis://localhost:6379/0" in done.stderr


def test_every_example_is_run():
    projects = {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.glob("*/run.py")}
    assert projects | {path.name for path in EXAMPLES.glob("*.py")} - {"worker.py"} == set(OUTPUT)


def run(name: str, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run an example in a folder until it ends."""
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env=os.environ | {"TMPDIR": str(folder), "XDG_STATE_HOME": str(folder)} | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=4 * LIMIT,
        check=False,
    )


def running_in(folder: Path) -> list[str]:
    """Return the names of the processes that run in this folder or below."""
    running = psutil.process_iter(["name", "cwd"])
    return [each.info["name"] for each in running if Path(each.info["cwd"] or "/").is_relative_to(folder)]
