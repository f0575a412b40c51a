"""A worker that is stopped for longer than its claim TTL, and then continues."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.celery.worker import eventually
from tests.support.chaos.tasks import HELD

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.celery.site import Site

TTL, TTLS, HELD_AT_ONCE = 2.0, 3, 8


def refused(log: str) -> int:
    """Return how many acknowledgements of a worker the store refused."""
    return sum(map(int, re.findall(r"refused (\d+) late acknowledgement", log)))


@pytest.mark.scenario("stopped worker")
def test_nothing_is_acknowledged_by_a_worker_that_does_not_hold_it_any_more(
    make_site: Callable[..., Site], tally: Callable[..., None]
) -> None:
    site = make_site(broker_transport_options={"claim_ttl": TTL}, worker_prefetch_multiplier=1)

    def begun(by: str) -> int:
        return sum(line.startswith("begin") and line.endswith(f" {by}@tests") for line in site.journal.texts())

    def ended(by: str) -> int:
        return sum(line.startswith("end") and line.endswith(f" {by}@tests") for line in site.journal.texts())

    threads = ("--pool=threads", f"--concurrency={HELD_AT_ONCE}")
    stopped = site.lone_worker(*threads, name="stopped")
    for number in range(HELD_AT_ONCE):
        site.app.send_task(HELD, task_id=f"t{number}")
    eventually(lambda: begun("stopped") == HELD_AT_ONCE and site.counts() == (0, HELD_AT_ONCE))

    os.kill(stopped.pid, signal.SIGSTOP)
    stopped_at = time.monotonic()
    second = site.lone_worker(*threads, name="second")
    eventually(lambda: begun("second") == HELD_AT_ONCE)
    eventually(lambda: time.monotonic() > stopped_at + TTLS * TTL)
    (site.folder / "open-stopped@tests").touch()
    os.kill(stopped.pid, signal.SIGCONT)
    # The worker finishes its tasks, but the second worker holds their messages now.
    eventually(lambda: ended("stopped") == HELD_AT_ONCE)
    eventually(lambda: refused(stopped.log) == HELD_AT_ONCE)
    still_held = site.counts()
    stopped.stop()

    # If the store had accepted one of those acknowledgements, the third worker would not receive its message.
    second.kill()
    (site.folder / "open-third@tests").touch()
    site.lone_worker(*threads, name="third")
    eventually(lambda: ended("third") == HELD_AT_ONCE)
    eventually(lambda: site.counts() == (0, 0))
    tally(messages=HELD_AT_ONCE, run_elsewhere=begun("second"), late_acks_refused=refused(stopped.log))

    assert still_held == (0, HELD_AT_ONCE)
