"""The producers of the tests of idempotency, each in a process of its own."""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from typing import TYPE_CHECKING

from kombu_pool import drivers
from kombu_pool.model import IdempotencyKey
from kombu_pool.testing import QueueHandle
from tests.support.simultaneous import meet

if TYPE_CHECKING:
    from pathlib import Path


def post(queue: QueueHandle, name: str, number: int, size: int) -> list[str]:
    """Post ``size`` messages under the idempotency key of this producer and number, and return their ids."""
    return queue.post(*[f"{name} {number}"] * size, idempotency_key=IdempotencyKey(name.encode(), number))


def make_posts(uri: str, size: int, count: int) -> list[list[str]]:
    """Make ``count`` posts, each at the moment when another process makes the same one, and return their ids."""
    queue = QueueHandle(drivers.open_data(uri), "q", None)
    answers = []
    for number in range(1, count + 1):
        meet()
        answers.append(post(queue, "a", number, size))
    queue.driver.close()
    return answers


def post_until_killed(uri: str, size: int, names: list[str], record: str) -> None:
    """Post for each producer in a thread, and record each post before it is made."""
    queue = QueueHandle(drivers.open_data(uri), "q", None)
    descriptor = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def work(name: str) -> None:
        for number in itertools.count(1):
            os.write(descriptor, f"{name} {number}\n".encode())
            post(queue, name, number, size)

    for name in names:
        threading.Thread(target=work, args=(name,)).start()


def begun_posts(record: Path) -> list[tuple[str, int]]:
    """Return the producer and the number of each post that a process has begun."""
    lines = record.read_text().splitlines() if record.exists() else []
    return [(name, int(number)) for name, number in map(str.split, lines)]


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
