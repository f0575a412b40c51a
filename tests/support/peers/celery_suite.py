"""Runs Celery's own integration tests on stores and on RabbitMQ at once, and compares: ``make peers-celery``.

``python -m tests.support.peers.celery_suite [STORE...]``. It fails if a test passes on ``amqp://`` and not on a store.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from tests.support.conformance.stores import STORES
from tests.support.peers import sources
from tests.support.servers import rabbitmq
from tests.support.servers.redis_server import Server

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    #: Test -> passed, failed or skipped.
    Outcomes = dict[str, str]

#: In the order of Celery's own runs: what some tests leave behind makes others fail.
SUBJECTS = (
    "beat",
    "canvas",
    "group_chains",
    "inspect",
    "mem_leak_in_exception_handling",
    "serialization",
    "tasks",
    "worker",
)
STORES_BY_DEFAULT = ("sqlite", "redis")
PEER = "amqp"


class Suite:
    """The tests in a process of their own, over one broker, with a Redis of their own for results."""

    def __init__(self, broker: str, url: str, results: Server, log: Path) -> None:
        self.broker, self.log = broker, log
        self._report = log.with_suffix(".xml")
        self._report.unlink(missing_ok=True)
        options = ["-v", "-rA", "--tb=short", "-p", "no:cacheprovider", "-p", "celery.contrib.pytest"]
        modules = [f"t/integration/test_{subject}.py" for subject in SUBJECTS]
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pytest", *options, f"--junitxml={self._report}", *modules],
                cwd=sources.fetch("celery"),
                env=_environment(url, results),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def outcomes(self) -> Outcomes:
        """Wait for the tests; return what became of each, after the repetitions that Celery asks for."""
        self._process.wait()
        if not self._report.exists():
            raise RuntimeError(f"Celery's tests did not run on {self.broker}: {self.log}")
        found: Outcomes = {}
        for case in ET.parse(self._report).iter("testcase"):  # noqa: S314 - pytest wrote it
            test = f"{case.get('classname', '').rpartition('integration.')[2]}::{case.get('name')}"
            # The last run of a test that Celery repeats counts, and the test after its parts.
            found[test] = _outcome(case)
        return found


def _outcome(case: ET.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    skipped = case.find("skipped")
    # What Celery expects to fail may pass or not.
    return "passed" if skipped is None or skipped.get("type") == "pytest.xfail" else "skipped"


def _environment(url: str, results: Server) -> dict[str, str]:
    return {
        **os.environ,
        # Some tests start the program "celery".
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path.cwd()),
        "TEST_BROKER": url,
        "TEST_BACKEND": results.uri(),
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(results.port),
    }


def compare(outcomes: Mapping[str, Outcomes]) -> int:
    """Print the tests that do not pass everywhere; return how many pass on RabbitMQ and not on a store."""
    worse = 0
    for test in sorted({test for results in outcomes.values() for test in results}):
        each = {broker: results.get(test, "missing") for broker, results in outcomes.items()}
        expected = each.get(PEER, "passed")
        is_worse = expected == "passed" and set(each.values()) != {"passed"}
        if is_worse or "failed" in each.values():
            print("WORSE" if is_worse else "alike", test, *(f"{broker}={each[broker]}" for broker in each))  # noqa: T201
        worse += is_worse
    for broker, results in outcomes.items():
        counts = {outcome: list(results.values()).count(outcome) for outcome in ("passed", "failed", "skipped")}
        print(f"{broker}:", *(f"{count} {outcome}" for outcome, count in counts.items()))  # noqa: T201
    return worse


def main(stores: Iterable[str]) -> int:
    logs = sources.folder("celery").parent
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        urls = {store: f"pool+{STORES[store].uri(folder, 'store')}" for store in stores}
        if rabbitmq.program():
            urls[PEER] = rabbitmq.shared_broker().url
            stack.callback(rabbitmq.shared_broker().stop)
        else:
            print("RabbitMQ is not installed: each failing test counts")  # noqa: T201
        suites = []
        for broker, url in urls.items():
            log = logs / f"celery-{broker}.log"
            print(f"{broker}: {log}", flush=True)  # noqa: T201
            suites.append(Suite(broker, url, stack.enter_context(Server()), log))
        return compare({suite.broker: suite.outcomes() for suite in suites})


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:] or STORES_BY_DEFAULT)))
