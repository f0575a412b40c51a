"""Messages that 1, 2, 4 and 8 producers, each a process, publish to one queue in a second, one by one.

The producers begin together and publish for the same time through a direct exchange, as for SQLite; each publish waits
until the broker has stored the message, RabbitMQ's with ``confirm_publish``. A producer's share is what it published,
in relation to what it would have published had all done the same. The latencies are those of all publishes. Each broker
is compared with its own single producer in the same round. ``python -m benchmarks.writers`` prints the whole table.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu import Producer

from benchmarks import brokers, figures, progress, servers
from benchmarks.children import Child
from benchmarks.contenders import sample
from benchmarks.mongodb.contenders import pool_mongodb
from benchmarks.redis import contenders as on_redis
from benchmarks.runs import Benchmark, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.contenders import Contender

PRODUCERS = (1, 2, 4, 8)
WARM_UP = 50
#: Share of the rate of one producer that many must reach.
TARGET = 0.95
HEADINGS = ("producers", "messages", "smallest share", "p50", "p99.9", "longest")


class Sample(NamedTuple):
    """What producers did together: messages a second, the smallest share, and latencies in milliseconds."""

    rate: float
    share: float
    p50: float
    p999: float
    longest: float

    def texts(self) -> list[str]:
        """Return the cells of the table."""
        return [f"{self.rate:,.0f}/s", f"{self.share:.2f}", *(f"{ms:.3g} ms" for ms in self[2:])]


def publish(broker: brokers.Broker, seconds: int, begin: str) -> Iterator[Any]:
    """Publish from the moment on that a file exists; yield that it can begin, and the latencies in seconds."""
    with brokers.connected(broker) as channel:
        producer = Producer(channel, exchange=brokers.QUEUE.exchange, routing_key="bench", auto_declare=False)
        for _ in range(WARM_UP):
            producer.publish(brokers.BODY)
        yield "ready"
        while not Path(begin).exists():
            time.sleep(0.001)
        latencies = []
        before = time.perf_counter()
        end = before + seconds
        while before < end:
            producer.publish(brokers.BODY)
            now = time.perf_counter()
            latencies.append(now - before)
            before = now
    yield latencies


def together(producers: int, broker: Callable[[Path], brokers.Broker], seconds: int, folder: Path) -> Sample:
    """Let producers publish at the same time."""
    begin = folder / "begin"
    prepared = broker(folder)
    with ExitStack() as stack:
        children = [
            stack.enter_context(Child(publish, folder, broker=prepared, seconds=seconds, begin=str(begin)))
            for _ in range(producers)
        ]
        for child in children:
            child.answer()
        begin.touch()
        answers = [child.answer() for child in children]
    begin.unlink()
    latencies = sorted(latency * 1000 for answer in answers for latency in answer)
    count = len(latencies)
    share = min(map(len, answers)) * producers / count
    return Sample(count / seconds, share, latencies[count // 2], latencies[count * 999 // 1000], latencies[-1])


@contextmanager
def sqlite(synchronous: str, folder: Path) -> Iterator[brokers.Broker]:
    """Yield kombu_pool on a SQLite file."""
    yield brokers.sqlite(folder, synchronous)


def contenders(amqp: str | None) -> dict[str, Contender]:
    """Return the brokers that can be measured here."""
    found: dict[str, Contender] = {
        "SQLite FULL": partial(sqlite, "FULL"),
        "SQLite NORMAL": partial(sqlite, "NORMAL"),
    }
    if servers.has_redis():
        found |= {"Redis": on_redis.pool_redis, "redis://": on_redis.redis}
    if servers.has_mongodb():
        found["MongoDB"] = pool_mongodb
    if amqp:
        found["RabbitMQ"] = on_redis.amqp(amqp, confirm_publish=True)
    return found


def measured(run: Run) -> dict[str, dict[int, list[Sample]]]:
    """Measure all brokers with all numbers of producers; return the samples by broker and number."""
    seconds = run.choose(3, 1)
    numbers = run.choose(PRODUCERS, (1, 2))
    with run.fresh() as folder, on_redis.rabbitmq(folder) as amqp:
        subjects = {
            f"{name}, {number}": partial(sample, contender, partial(together, number), seconds)
            for name, contender in contenders(amqp).items()
            for number in numbers
        }
        samples = run.interleave(subjects)
    found: dict[str, dict[int, list[Sample]]] = {}
    for subject, taken in samples.items():
        name, _, number = subject.rpartition(", ")
        found.setdefault(name, {})[int(number)] = taken
    return found


def measure(run: Run) -> Iterator[figures.Figure]:
    """Compare many producers of each store with one."""
    samples = measured(run)
    for name in ("SQLite FULL", "SQLite NORMAL", "Redis", "MongoDB"):
        if name in samples:
            yield from compared(name, samples[name])


def compared(name: str, samples: Mapping[int, list[Sample]]) -> Iterator[figures.Figure]:
    """Compare the most producers with one: their rate, and the smallest share of one of them."""
    one, many = samples[1], samples[max(samples)]
    what = f"{max(samples)} producers, {name}"
    rates = [[taken.rate for taken in each] for each in (many, one)]
    yield figures.rates(what, rates[0], "one producer", rates[1], TARGET)
    worst = min(taken.share for taken in many)
    yield figures.Figure(f"{what}, smallest share", f"{worst:.2f}", "fair share 1", worst, 0.5)


def table(samples: Mapping[str, Mapping[int, list[Sample]]]) -> str:
    """Return all medians as a Markdown table; of the longest latencies the longest."""
    rows = [("broker", *HEADINGS), ["---"] * (len(HEADINGS) + 1)]
    for name, by_number in samples.items():
        for number, taken in by_number.items():
            middle = Sample(*(median(values) for values in zip(*taken, strict=True)))
            worst = middle._replace(longest=max(one.longest for one in taken), share=min(one.share for one in taken))
            rows.append([name, str(number), *worst.texts()])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> None:
    """Print the table; ``--quick`` only checks that it can be made."""
    with progress.display(1) as display:
        display.begin("writers")
        print(table(measured(Run(display, quick="--quick" in sys.argv))))


BENCHMARK = Benchmark("writers", "Do many producers get as much done as one?", measure)

if __name__ == "__main__":
    from benchmarks import writers  # noqa: PLW0406 - its children import it by that name

    writers.main()
