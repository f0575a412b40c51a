"""Prints a line for each scenario and store when it ends, instead of pytest's dots."""

from __future__ import annotations

import time
from typing import Any

import pytest

#: Properties of a scenario's test report.
COUNTS, NAME, WHERE = "counts", "scenario", "store"
_VERDICTS = {"passed": "kept", "failed": "BROKEN"}


class Report:
    """The pytest plugin that prints the lines."""

    def __init__(self, config: pytest.Config, seed: str) -> None:
        self._config = config
        self._seed = seed
        self._began = time.monotonic()

    @property
    def _terminal(self) -> Any:
        return self._config.pluginmanager.getplugin("terminalreporter")

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str]:
        return (report.outcome if report.when == "call" or not report.passed else "", "", "")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if self._terminal.isatty:
            self._terminal.rewrite(f"{self._seconds()}  {nodeid.rpartition('::')[2][:100]} ...", erase=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        if NAME not in properties or (report.when != "call" and report.passed):
            return
        if self._terminal.isatty:
            self._terminal.rewrite("", erase=True)
        verdict = _VERDICTS.get(report.outcome, report.outcome)
        counts = ", ".join(_format(*pair) for pair in properties.get(COUNTS, {}).items())
        scenario = f"{properties[NAME]:17} {properties[WHERE]:8} {self._seed:12}"
        line = f"{verdict:7} {scenario} {report.duration:5.1f} s  {counts}"
        self._terminal.write_line(f"{self._seconds()}  {line}")

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._began:5.0f} s"


def _format(name: str, value: object) -> str:
    words = name.replace("_", " ")
    return f"{value:,} {words}" if isinstance(value, int) else f"{words}: {value}"
