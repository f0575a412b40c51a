"""What a key costs: messages with the header ``x-message-key``, compared with messages that have another header.

One process publishes messages one by one, and then consumes and acknowledges them with a prefetch limit of 64; all
headers have 36 characters, and every key is another one. Messages with keys and without go by turns through the same
queue of the same server. The processor time is that of the process and of the server together.
"""

from __future__ import annotations

import sys
import time
import uuid
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import psutil
from kombu import Consumer, Producer

from benchmarks import brokers, figures, progress
from benchmarks.children import ask
from benchmarks.keys.stores import stores
from benchmarks.runs import Benchmark, Run
from benchmarks.writers import sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kombu.transport.base import StdChannel

    from benchmarks.contenders import Contender

KEYED, OTHER = "x-message-key", "x-other-header"
#: Share of the rate without keys that is asked for.
TARGET = 0.95
#: Messages of one round; a publish to MongoDB and to SQLite with ``FULL`` waits for the disk.
MESSAGES = {"SQLite NORMAL": 6000, "SQLite": 2000, "Redis": 6000, "MongoDB": 1000}
ROUNDS = 15
VERBS = ("publish", "consume")


class Cost(NamedTuple):
    """The messages a second of a step, and its processor time for each message in microseconds."""

    rate: float
    processor: float


def messages_with(broker: brokers.Broker, messages: int, header: str, server: int | None) -> list[tuple[float, float]]:
    """Publish and consume messages with a header; return the costs of both steps."""
    values = [str(uuid.uuid4()) for _ in range(messages)]
    with brokers.connected(broker) as channel:
        return [
            _cost(partial(_publish, channel, header, values), messages, server),
            _cost(partial(_consume, channel, messages), messages, server),
        ]


def _cost(step: partial[None], messages: int, server: int | None) -> tuple[float, float]:
    before, began = _processor(server), time.perf_counter()
    step()
    return messages / (time.perf_counter() - began), (_processor(server) - before) / messages * 1e6


def _processor(server: int | None) -> float:
    """Return the processor time of this process and of a server, in seconds."""
    return time.process_time() + (sum(psutil.Process(server).cpu_times()[:2]) if server else 0.0)


def _publish(channel: StdChannel, header: str, values: Sequence[str]) -> None:
    producer = Producer(channel, exchange=brokers.QUEUE.exchange, routing_key="bench", auto_declare=False)
    for value in values:
        producer.publish(brokers.BODY, headers={header: value})


def _consume(channel: StdChannel, messages: int) -> None:
    remaining = messages

    def arrived(_: object, message: object) -> None:
        nonlocal remaining
        message.ack()  # type: ignore[attr-defined]
        remaining -= 1

    consumer = Consumer(channel, [brokers.QUEUE], callbacks=[arrived])
    consumer.qos(prefetch_count=brokers.PREFETCH)
    consumer.consume()
    while remaining:
        channel.connection.client.drain_events(timeout=30)
    consumer.cancel()
    channel.close()  # every acknowledgement reaches the store


def contenders() -> dict[str, Contender]:
    """Return the stores, SQLite also without waiting for the disk."""
    return {"SQLite NORMAL": partial(sqlite, "NORMAL"), **stores()}


def measured(run: Run, only: Sequence[str] = ()) -> dict[str, dict[str, list[list[Cost]]]]:
    """Return the costs of both steps by store, of all or ``only`` these, and by header, a list for each round."""
    found: dict[str, dict[str, list[list[Cost]]]] = {}
    rounds = run.choose(ROUNDS, 1)
    chosen = {name: each for name, each in contenders().items() if not only or name in only}
    with run.progress.steps(rounds * 2 * len(chosen)) as step:
        for name, contender in chosen.items():
            found[name] = {KEYED: [], OTHER: []}
            with run.fresh() as folder, contender(folder) as broker:
                server = next((each.pid for each in psutil.Process().children()), None)
                for number in range(run.choose(0, 1), rounds + 1):
                    # The first turn changes, and the first round only warms up.
                    for header in (KEYED, OTHER) if number % 2 else (OTHER, KEYED):
                        messages = run.choose(MESSAGES[name], 200)
                        costs = ask(
                            messages_with, folder, broker=broker, messages=messages, header=header, server=server
                        )
                        if number:
                            step(f"{name}, {header}")
                            found[name][header].append([Cost(*cost) for cost in costs])
    return found


def measure(run: Run) -> Iterator[figures.Figure]:
    """Compare the rates with keys with those without."""
    for name, costs in measured(run).items():
        for number, verb in enumerate(VERBS):
            keyed, other = ([each[number].rate for each in costs[header]] for header in (KEYED, OTHER))
            yield figures.rates(f"{verb} with keys, {name}", keyed, "without", other, TARGET)


def table(costs: Mapping[str, Mapping[str, Sequence[Sequence[Cost]]]]) -> str:
    """Return all medians as a Markdown table."""
    headings = ("store", "step", "rate with keys", "without", "ratio", "processor with keys", "without", "ratio")
    rows = [headings, ["---"] * len(headings)]
    for name, by_header in costs.items():
        for number, verb in enumerate(VERBS):
            keyed, other = ([each[number] for each in by_header[header]] for header in (KEYED, OTHER))
            cells = []
            for field, pattern in (("rate", "{:,.0f}/s"), ("processor", "{:.0f} µs")):
                mine, others = ([getattr(each, field) for each in costs] for costs in (keyed, other))
                cells += [pattern.format(median(mine)), pattern.format(median(others))]
                cells.append(f"{figures.ratio(mine, others):.2f}")
            rows.append([name, verb, *cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> None:
    """Print the table, of all stores or of those that are named; ``--quick`` only checks that it can be made."""
    with progress.display(1) as display:
        display.begin("cost")
        only = [name for name in sys.argv[1:] if name != "--quick"]
        print(table(measured(Run(display, quick="--quick" in sys.argv), only)))


BENCHMARK = Benchmark("keys", "What does a key cost a message?", measure)

if __name__ == "__main__":
    from benchmarks.keys import cost  # noqa: PLW0406 - its children import it by that name

    cost.main()
