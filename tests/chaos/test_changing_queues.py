"""Queues that are deleted and declared again under eight producers and eight consumers."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from kombu import Connection

from kombu_pool.errors import QueueDoesNotExist
from tests.support.celery.worker import eventually
from tests.support.chaos.changing_queues import QUEUES, lost
from tests.support.chaos.stores import STORES
from tests.support.limits import LONG_TEST
from tests.support.transport.child_programs import Program, Programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.support.celery.brokers import Broker
    from tests.support.chaos.scale import Scale

PRODUCERS, CONSUMERS, DELETERS = 8, 8, 2
#: Mean pause of a deleter between two deletions, in seconds.
PAUSE = 0.5
#: Time within which a consumer takes a message, or was told that its queue is gone and is back, in seconds: on a busy
#: machine it reconnects for long, and a queue is deleted meanwhile.
WITHIN = 30.0
#: Time after the last deletion for which the producers go on, in seconds.
CALM = 3.0


@pytest.fixture
def programs() -> Iterator[Programs]:
    started = Programs("tests.support.chaos.changing_queues")
    yield started
    started.kill()


@pytest.fixture
def options(store: str, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Two pools beside the control store."""
    brokers = {}
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        brokers[name] = STORES[store].broker(folder)
    pools = [{"name": name, "uri": pool.url.removeprefix("pool+")} for name, pool in brokers.items()]
    yield {"pools": pools, "claim_ttl": 10}
    for pool in brokers.values():
        pool.close()


def reports(programs: Sequence[Program]) -> list[Any]:
    """End programs, and return the parts of their reports."""
    for program in programs:
        program.tell()
    return [part for program in programs for part in json.loads(program.line())]


def left(channel: Any) -> int:
    """Return how many messages are in the queues that there are, free or claimed."""
    found = 0
    for queue in QUEUES:
        with suppress(QueueDoesNotExist):
            found += channel._queues.total(queue.name)
    return found


@pytest.mark.timeout(LONG_TEST)
@pytest.mark.scenario("changing queues")
def test_what_is_confirmed_is_consumed_or_deleted_later(
    broker: Broker,
    programs: Programs,
    options: dict[str, Any],
    scale: Scale,
    seed: int,
    tally: Callable[..., None],
) -> None:
    def start(program: str, **arguments: Any) -> Program:
        return programs.start(program, url=broker.url, options=options, **arguments)

    consumers = [start("consume") for _ in range(CONSUMERS)]
    producers = [
        start("produce", name=f"{seed}-{number}", exchange="changing" if number % 2 else "")
        for number in range(PRODUCERS)
    ]
    deleters = [start("delete", seed=f"{seed}-{number}", pause=PAUSE) for number in range(DELETERS)]
    for program in (*consumers, *producers, *deleters):
        assert program.line() == "ready"
    time.sleep(scale.deleting)
    deleted = reports(deleters)
    time.sleep(CALM)
    stored = reports(producers)
    # What is in no queue any more and was not consumed is lost; what is left is only late.
    with Connection(broker.url, transport_options=options) as connection:
        eventually(lambda: left(connection.default_channel) == 0, within=LONG_TEST / 2)
    got = reports(consumers)

    missing = lost(stored, set(got), deleted, WITHIN)
    doubled = len(got) - len(set(got))
    tally(published=len(stored), consumed=len(set(got)), deletions=len(deleted), lost=len(missing), doubled=doubled)
    assert missing == []
    assert len(deleted) > scale.deleting / PAUSE / 4
    assert {queue for queue, _ in deleted} <= {queue.name for queue in QUEUES}
