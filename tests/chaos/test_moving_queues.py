"""A queue that moves through all kinds of stores under producers and consumers, while its movers are killed."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from kombu_pool import drivers
from kombu_pool.moves import COPYING
from kombu_pool.pooling import DataDriver
from tests.support.celery.worker import eventually
from tests.support.chaos import moving_queues
from tests.support.chaos.moving_queues import QUEUE, in_order, percentile, published, watch_pauses
from tests.support.chaos.stores import STORES
from tests.support.limits import LONG_TEST
from tests.support.servers.redis_shared import fresh_cluster_uri
from tests.support.transport.child_programs import Program, Programs

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.celery.brokers import Broker
    from tests.support.chaos.scale import Scale

PRODUCERS, CONSUMERS = 8, 8
#: Pause between two publishes of a producer, and after each message of a consumer, in seconds: the queue stays long.
PAUSE = 0.04
#: The pools in the order of the moves; the queue begins in the last one.
ROUTE = ("redis", "cluster", "mongodb", "sqlite")
#: Movers of each move that die, and the most steps after which one does.
KILLS, MOST_STEPS = 3, 6
#: Number of producers that are stopped, and for how long, in seconds.
STOPPED, STOP = 2, 30.0


@pytest.fixture
def programs() -> Iterator[Programs]:
    started = Programs(moving_queues.__name__)
    yield started
    started.kill()


@pytest.fixture
def options(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A pool of each kind beside the control store."""
    with ExitStack() as stack:
        uris = {"cluster": fresh_cluster_uri()}
        for name in ("redis", "mongodb", "sqlite"):
            folder = tmp_path / name
            folder.mkdir()
            broker = STORES[name].broker(folder)
            stack.callback(broker.close)
            uris[name] = broker.url.removeprefix("pool+")
        pools = [{"name": name, "uri": uri, "weight": 100 if name == ROUTE[-1] else 0} for name, uri in uris.items()]
        yield {"pools": pools}


class Movers:
    """Moves a queue along the route; some movers die."""

    def __init__(self, start: Callable[..., Program], rng: random.Random) -> None:
        self._start = start
        self._rng = rng
        self.deaths: list[float] = []
        self.seconds: list[float] = []

    def run(self) -> None:
        for target in ROUTE:
            began = time.monotonic()
            for number in range(KILLS):
                self._die(target, f"{target}-{number}")
            self._start("move", target=target, steps=0, holder=f"{target}-last").finish(LONG_TEST)
            self.seconds.append(time.monotonic() - began)

    def _die(self, target: str, holder: str) -> None:
        steps = self._rng.randint(1, MOST_STEPS)
        mover = self._start("move", target=target, steps=steps, holder=holder)
        time.sleep(self._rng.uniform(0, 2.0))
        mover.kill()
        self.deaths.append(time.time())

    def died(self, began: float, ended: float) -> bool:
        """Return whether a mover died in some time, or shortly before its end was seen."""
        return any(began - 2.5 <= death <= ended for death in self.deaths)


@pytest.mark.timeout(LONG_TEST)
@pytest.mark.scenario("moving queues", "sqlite")
def test_a_queue_moves_through_all_stores_under_producers_and_consumers(
    broker: Broker,
    programs: Programs,
    options: dict[str, Any],
    tmp_path: Path,
    scale: Scale,
    rng: random.Random,
    tally: Callable[..., None],
) -> None:
    def start(program: str, **arguments: Any) -> Program:
        return programs.start(program, url=broker.url, options=options, **arguments)

    start("fill", name="before", number=scale.waiting).finish(LONG_TEST)
    sent, seen = [tmp_path / f"p{n}" for n in range(PRODUCERS)], [tmp_path / f"c{n}" for n in range(CONSUMERS)]
    producers = [start("publish", name=record.name, record=str(record), pause=PAUSE) for record in sent]
    consumers = [start("consume", record=str(record), pause=PAUSE) for record in seen]
    for program in (*producers, *consumers):
        assert program.line() == "ready"
    movers = Movers(start, rng)
    moving = threading.Thread(target=movers.run)
    stopping = threading.Thread(target=stop, args=(producers[:STOPPED], moving.is_alive))
    control = drivers.open_control(broker.url.removeprefix("pool+"))

    moving.start()
    stopping.start()
    find = control.catalogue_controller.find
    pauses, copying = watch_pauses(lambda: find(None, QUEUE.name), lambda: not moving.is_alive(), movers.died)
    stopping.join()
    for program in (*producers, *consumers):
        program.tell()
        program.finish()
    left = rest(control)
    control.close()

    publishes = published(sent)
    confirmed = {publish.body for publish in publishes} | {f"before-{number}" for number in range(scale.waiting)}
    got = [line for record in seen for line in record.read_text().split()] + left
    lost, twice = confirmed - set(got), len(got) - len(set(got))
    late = in_order(left)
    in_pause, in_killed = (
        [publish.seconds for publish in publishes if is_in(publish, pauses, killed)] for killed in (False, True)
    )
    tally(
        confirmed=len(confirmed), lost=len(lost), twice=twice, out_of_order=late, left=len(left), moves=len(ROUTE),
        movers_killed=len(movers.deaths), copying=" ".join(f"{seconds:.1f}s" for seconds in copying),
        moving=" ".join(f"{seconds:.1f}s" for seconds in movers.seconds),
        publishes_in_pauses=len(in_pause), p99_ms=round(1000 * percentile(in_pause, 0.99)),
        longest_ms=round(1000 * max(in_pause, default=0.0)),
        publishes_in_pauses_with_killed_movers=len(in_killed), their_p99_ms=round(1000 * percentile(in_killed, 0.99)),
        their_longest_ms=round(1000 * max(in_killed, default=0.0)),
    )  # fmt: skip
    assert not lost
    assert twice == 0
    assert late == 0


def is_in(publish: moving_queues.Publish, pauses: list[moving_queues.Pause], killed: bool) -> bool:
    return any(pause.began <= publish.began <= pause.ended and pause.killed is killed for pause in pauses)


def stop(producers: list[Program], goes_on: Callable[[], bool]) -> None:
    """Stop some producers for a time, again and again."""
    while goes_on():
        for producer in producers:
            producer.signal(signal.SIGSTOP)
        until = time.monotonic() + STOP
        while goes_on() and time.monotonic() < until:
            time.sleep(0.1)
        for producer in producers:
            producer.signal(signal.SIGCONT)
        time.sleep(1.0)


def is_moving(data: DataDriver) -> bool:
    found = data.catalog.moves.find(QUEUE.name)
    return found is not None and found.move is not None and found.move.phase == COPYING


def rest(control: Any) -> list[str]:
    """Return the messages that are left, in order."""
    data = DataDriver(None, None, control)
    eventually(lambda: not is_moving(data), within=LONG_TEST / 2)
    eventually(lambda: data.queue_controller.stats(QUEUE.name)["messages"]["claimed"] == 0, within=LONG_TEST / 2)
    left: list[str] = []
    while True:
        claim, messages = data.claim_controller.create(QUEUE.name, {"ttl": 600, "grace": 0}, limit=500)
        if claim is None:
            break
        # What the transport stores: a text in a message of Kombu.
        left += [bytes(message["body"]["body"]).decode() for message in messages]
        data.message_controller.delete_claimed(QUEUE.name, [(message["id"], claim) for message in messages])
    data.close()
    return left
