"""What the tests of tickets run in processes of their own, and in their threads."""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
from typing import TYPE_CHECKING

from kombu_pool import drivers
from kombu_pool.model import IdempotencyKey
from tests.conformance.handles import QueueHandle
from tests.support.simultaneous import meet

if TYPE_CHECKING:
    from pathlib import Path


def post(queue: QueueHandle, name: str, number: int, size: int) -> list[str]:
    """Make the post of a number, of ``size`` messages, or make it again; return their ids."""
    return queue.post(*[f"{name} {number}"] * size, idempotency_key=IdempotencyKey(name.encode(), number))


def make_posts(uri: str, size: int, count: int) -> list[list[str]]:
    """Make so many posts, of ``size`` messages each, when others make the same ones; return their ids."""
    queue = QueueHandle(drivers.open_data(uri), "q", None)
    answers = []
    for number in range(1, count + 1):
        meet()
        answers.append(post(queue, "a", number, size))
    queue.driver.close()
    return answers


def post_until_killed(uri: str, size: int, names: list[str], record: str) -> None:
    """Make posts for each name at the same time, and write down each before it is made."""
    queue = QueueHandle(drivers.open_data(uri), "q", None)
    descriptor = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def work(name: str) -> None:
        for number in itertools.count(1):
            os.write(descriptor, f"{name} {number}\n".encode())
            post(queue, name, number, size)

    for name in names:
        threading.Thread(target=work, args=(name,)).start()


def begun(record: Path) -> list[tuple[str, int]]:
    """Return the posts that a process has begun, by the name of their posters and their numbers."""
    lines = record.read_text().splitlines() if record.exists() else []
    return [(name, int(number)) for name, number in map(str.split, lines)]


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
