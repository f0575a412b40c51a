"""Commands that the clients send to Redis for each message that is published, consumed and acknowledged.

One process publishes ten thousand messages, one by one, and another consumes them with a prefetch limit of 64 and
acknowledges each. Every command that ``MONITOR`` reports is counted, from the first connection to the last, except
those that a script calls. Kombu's Redis transport is measured in the same way with fewer messages.
"""

from __future__ import annotations

import socket
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks import figures
from benchmarks.consume import filled_rate
from benchmarks.redis import contenders
from benchmarks.redis.contenders import OURS, REDIS
from benchmarks.runs import Benchmark

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from benchmarks.contenders import Contender
    from benchmarks.runs import Run

_END = b"no-more-commands"


@contextmanager
def watched(address: str) -> Iterator[Counter[str]]:
    """Count the commands sent to the server at ``host:port`` within this context; complete after its end."""
    seen: Counter[str] = Counter()
    with _connected(address, b"MONITOR") as monitor:
        yield seen
        with _connected(address, b"ECHO " + _END):
            seen.update(_commands(monitor))


@contextmanager
def _connected(address: str, command: bytes) -> Iterator[BinaryIO]:
    """Send one command, wait for the first line of the answer, and yield the rest."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port))) as connection, connection.makefile("rb") as answers:
        connection.sendall(command + b"\r\n")
        answers.readline()
        yield answers


def _commands(monitor: BinaryIO) -> Iterator[str]:
    """Yield the names in lines like ``+TIME [DATABASE CLIENT] "NAME" "ARGUMENT"``, without the client lua: scripts."""
    for line in monitor:
        if _END in line:
            return
        sender, _, command = line.partition(b"] ")
        if not sender.endswith(b" lua"):
            yield command.split(b'"')[1].decode().lower()


def count(contender: Contender, messages: int, folder: Path) -> tuple[float, str]:
    """Return the number of commands for a message, and the most frequent ones."""
    with contender(folder) as broker:
        address = broker.url.partition("://")[2].partition("/")[0]
        with watched(address) as seen:
            filled_rate(lambda _: broker, messages, folder)
    frequent = ", ".join(f"{name} {number / messages:.3g}" for name, number in seen.most_common(3))
    return seen.total() / messages, frequent


def measure(run: Run) -> Iterator[figures.Figure]:
    """Count the commands of kombu_pool and of the peer."""
    many, few = run.choose((10_000, 1000), (500, 500))
    with run.progress.steps(2) as step:
        step(OURS)
        with run.fresh() as folder:
            ours, frequent = count(contenders.pool_redis, many, folder)
        step(REDIS)
        with run.fresh() as folder:
            theirs, _ = count(contenders.redis, few, folder)
    yield figures.Figure(
        "Redis commands for a message",
        f"{ours:.3g} ({frequent})",
        f"{REDIS} {theirs:.3g}",
        ours,
        1.1,
        "commands",
        at_most=True,
    )


BENCHMARK = Benchmark("redis-commands", "How many commands does a message take?", measure)
