"""A pool of many queues that is emptied and removed under a worker and its chords."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from celery import chord

from tests.support.celery.site import Site
from tests.support.celery.worker import eventually
from tests.support.limits import LONG_TEST
from tests.support.servers.redis_shared import fresh_uri

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.celery.brokers import Broker

QUEUES = [f"q{number}" for number in range(200)]
#: Tasks that wait in each queue when the pool is drained, and tasks of a chord.
WAITING, TASKS = 20, 10


@pytest.fixture
def site(broker: Broker, tmp_path: Path) -> Iterator[Site]:
    """A site with the pool ``old`` in a file."""
    site = Site(tmp_path, broker.url, task_create_missing_queues=True)
    site.run("pool", "add", "old", f"sqlite:///{tmp_path}/old.db")
    yield site
    site.close()


class Chords(threading.Thread):
    """Begins a chord over some queues every half second."""

    def __init__(self, site: Site, rng: random.Random) -> None:
        super().__init__(daemon=True)
        self._site = site
        self._rng = rng
        self._ended = threading.Event()
        self.results: list[tuple[Any, int]] = []

    def run(self) -> None:
        while not self._ended.wait(0.5):
            numbers = [self._rng.randrange(1000) for _ in range(TASKS)]
            header = [self._site.signature("add", n, 1).set(queue=self._rng.choice(QUEUES)) for n in numbers]
            total = self._site.signature("total").set(queue=self._rng.choice(QUEUES))
            self.results.append((chord(header)(total), sum(numbers) + TASKS))

    def end(self) -> None:
        self._ended.set()
        self.join()


@pytest.mark.timeout(LONG_TEST)
@pytest.mark.scenario("drained pool", "sqlite")
def test_a_pool_of_two_hundred_queues_is_removed_under_chords(
    site: Site, rng: random.Random, tally: Callable[..., None]
) -> None:
    texts = [f"{queue} {number}" for queue in QUEUES for number in range(WAITING)]
    for text in texts:
        site.send("note_unanswered", text, queue=text.partition(" ")[0])
    site.run("pool", "add", "new", fresh_uri())
    site.lone_worker("--pool=threads", "--concurrency=4", "-Q", ",".join(QUEUES))
    chords = Chords(site, rng)
    chords.start()
    time.sleep(2.0)

    began = time.monotonic()
    printed = site.run("pool", "drain", "old", "--parallel", "8", "--remove")
    seconds = time.monotonic() - began
    time.sleep(2.0)
    chords.end()
    wrong = [result for result, total in chords.results if site.answer(result) != total]
    eventually(lambda: len(site.journal.texts()) >= len(texts), within=LONG_TEST / 2)
    ran = site.journal.texts()

    tally(
        queues=len(QUEUES), draining=f"{seconds:.1f}s", chords=len(chords.results), wrong=len(wrong),
        tasks=len(texts), lost=len({*texts} - {*ran}), twice=len(ran) - len({*ran}),
    )  # fmt: skip
    assert {line.split()[0] for line in printed.splitlines() if line.split()[1:2] == ["new"]} == {*QUEUES}
    assert "Removed old." in printed
    assert not wrong
    assert sorted(ran) == sorted(texts)
