"""The same unique task three ways: of kombu_pool, and of two libraries that lock in Redis before they publish.

The libraries are left out where they are not installed.
"""

from __future__ import annotations

import os
import random
import signal
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from benchmarks.app import app
from benchmarks.keys import application
from kombu_pool.contrib.unique_tasks import apply_unique

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OURS, ONCE, SINGLETON = "kombu_pool", "celery-once", "celery-singleton"


def _post_ours(number: int) -> None:
    apply_unique(application.note, (number,), unique_id=application.key(number))


#: How a task with a number is posted unless one with this number is there.
POSTS: dict[str, Callable[[int], None]] = {OURS: _post_ours}

if find_spec("celery_once"):
    from celery_once import QueueOnce

    app.conf.ONCE = {"backend": "celery_once.backends.Redis", "settings": {"url": app.conf.broker_url}}

    @app.task(base=QueueOnce, once={"graceful": True})  # type: ignore[untyped-decorator] # Celery has no types
    def once(number: int) -> None:
        """Record the number of this task."""
        application.write(number)

    def _post_once(number: int) -> None:
        once.apply_async((number,))

    POSTS[ONCE] = _post_once

if find_spec("celery_singleton"):
    from celery_singleton import Singleton

    app.conf.singleton_backend_url = app.conf.broker_url

    @app.task(base=Singleton)  # type: ignore[untyped-decorator] # Celery has no types
    def singleton(number: int) -> None:
        """Record the number of this task."""
        application.write(number)

    def _post_singleton(number: int) -> None:
        singleton.apply_async((number,))

    POSTS[SINGLETON] = _post_singleton


def post_all(kind: str, first: int, last: int) -> int:
    """Post each number once, and return how many messages wait."""
    for number in range(first, last):
        POSTS[kind](number)
    return waiting()


def waiting() -> int:
    """Return how many messages wait in the queue of the tasks."""
    with app.connection_for_write() as connection:
        count: int = connection.default_channel.queue_declare("celery", passive=True).message_count
        return count


def post_under_kills(kind: str, first: int, last: int, producers: int, kills: int) -> Iterator[Any]:
    """Let producers post all numbers, each in its own order; kill and replace one after another.

    Yields how many were killed before they were done, and how many messages wait at the end. The producers that are not
    killed post all numbers.
    """
    app.finalize()
    running = {_fork(kind, first, last) for _ in range(producers)}
    killed = 0
    while running and killed < kills:
        time.sleep(random.uniform(0, 2 * _PAUSE))  # noqa: S311 - no secret
        running -= {pid for pid in running if os.waitpid(pid, os.WNOHANG)[0]}
        if running:
            victim = random.choice(list(running))  # noqa: S311 - no secret
            os.kill(victim, signal.SIGKILL)
            os.waitpid(victim, 0)
            killed += 1
            running = running - {victim} | {_fork(kind, first, last)}
    for pid in running:
        if os.waitpid(pid, 0)[1]:
            raise SystemExit("A producer failed")
    yield [killed, waiting()]


#: Mean time between two kills, in seconds.
_PAUSE = 0.02


def _fork(kind: str, first: int, last: int) -> int:
    """Return the id of a new process that posts all numbers in an order of its own."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        numbers = list(range(first, last))
        random.Random(os.getpid()).shuffle(numbers)  # noqa: S311 - no secret
        for number in numbers:
            POSTS[kind](number)
        status = 0
    finally:
        os._exit(status)
