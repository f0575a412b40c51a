"""The benchmarks run, judge their figures, and write their page; how fast we are is not a test's business."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import overhead, report
from benchmarks.figures import Figure, ratio

ROOT = Path(__file__).parents[1]

FAST = Figure("publish", "900/s", "other 100/s", value=9, target=8)
SLOW = Figure("latency", "5 ms", "other 100 ms", value=1 / 20, target=1 / 50, at_most=True)
FLAT = Figure("memory", "0 MB", "", value=0, target=10, unit="MB", at_most=True)


def test_a_quick_run_answers_the_questions_that_it_is_asked(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "--quick", "--folder", str(tmp_path)]

    done = subprocess.run(
        [*command, "--only", "publish", "--only", "consume", "--only", "overhead"],
        cwd=ROOT,
        env=os.environ | {"XDG_STATE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    subjects = ["publish, SQLite FULL", "consume and ack, SQLite FULL", "processor above the driver, consume with ack"]
    assert [subject for subject in subjects if subject not in done.stdout] == []
    assert "of 6 targets met." in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("figure", "met", "margin"), [(FAST, True, 9 / 8), (SLOW, False, 0.4), (FLAT, True, 1000)])
def test_a_figure_knows_how_it_stands_to_its_target(figure, met, margin):
    assert figure.met is met
    assert figure.margin == pytest.approx(margin)


def test_a_slow_moment_of_the_machine_leaves_a_ratio_as_it_is():
    assert ratio([800, 80, 810], [100, 10, 100]) == 8


def test_the_page_has_a_line_for_each_figure_and_says_how_it_was_measured():
    page = report.page([FAST, SLOW], [overhead.BENCHMARK], "2 cores")

    assert "| publish | 900/s | other 100/s | 9 x | ≥ 8 x | yes |" in page
    assert "| latency | 5 ms | other 100 ms | 0.05 x | ≤ 0.02 x | NO |" in page
    assert "2 cores. 1 of 2 targets met." in page
    assert "Everything happens in one process" in page


def test_the_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")

    report.write(tmp_path, [FAST, SLOW, FLAT], [overhead.BENCHMARK], "2 cores")

    assert (tmp_path / "benchmarks.png").read_bytes().startswith(b"\x89PNG")
