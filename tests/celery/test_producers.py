"""Programs that send tasks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.celery.worker import eventually
from tests.support.limits import LIMIT


@pytest.fixture
def script(site):
    """Return a function that starts a program with the application as ``app``."""
    running = []

    def script(text: str) -> subprocess.Popen:
        program = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", f"from tests.support.celery.application import app\n{text}"],
            env=site.environment(),
            cwd=site.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(program)
        return program

    yield script
    for program in running:
        program.kill()
        program.communicate()


def test_a_plain_script_sends_a_task_and_ends_quietly(site, script):
    site.lone_worker("--pool=solo")

    printed, _ = script("print(app.tasks['add'].delay(2, 3).get(timeout=60, interval=0.02))").communicate(timeout=LIMIT)

    assert printed == "5\n"


def test_what_is_sent_before_there_is_a_worker_waits_for_it(site, script):
    printed, _ = script("app.tasks['note'].delay('early')").communicate(timeout=LIMIT)

    site.lone_worker("--pool=solo")

    assert printed == ""
    eventually(lambda: site.journal.texts() == ["early"])


def test_four_programs_send_200_tasks_to_one_worker(site, script):
    site.lone_worker("--pool=threads", "--concurrency=4")
    programs = [script(f"for n in range(50): app.tasks['note'].delay(f'{program}-{{n}}')") for program in range(4)]

    assert [program.communicate(timeout=LIMIT)[0] for program in programs] == [""] * 4

    eventually(lambda: len(site.journal.texts()) >= 200)
    assert sorted(site.journal.texts()) == sorted(f"{program}-{n}" for program in range(4) for n in range(50))
    eventually(lambda: site.counts() == (0, 0))


def test_a_program_that_forked_sends_from_both_processes(site, script):
    site.lone_worker("--pool=solo")

    printed, _ = script(
        "import os\n"
        "app.tasks['note'].delay('before')\n"
        "child = os.fork()\n"
        "app.tasks['note'].delay('child' if child == 0 else 'parent')\n"
        "if child: assert os.waitpid(child, 0)[1] == 0\n"
    ).communicate(timeout=LIMIT)

    eventually(lambda: len(site.journal.texts()) == 3)
    assert sorted(site.journal.texts()) == ["before", "child", "parent"]
    assert "Error" not in printed


def test_tasks_of_higher_priority_come_first(site):
    for priority in (0, 5, 9, 5):
        site.send("note", str(priority), priority=priority)

    site.lone_worker("--pool=solo", worker_prefetch_multiplier=1)

    eventually(lambda: len(site.journal.texts()) == 4)
    assert site.journal.texts() == ["9", "5", "5", "0"]
