"""Reads the delayed tasks of the consumed queues, in a bounded time, for a worker that is asked what it will run."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from kombu_pool.errors import KombuPoolError
from kombu_pool.transport.consume.deliveries import Message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.model import Project
    from kombu_pool.storage import MessageController

#: The most tasks of one answer.
MAX_TASKS = 1000


class DelayedTasks:
    """The delayed tasks of queues, read from all pools at once.

    A thread a pool reads, for the caller runs the event loop: a pool that hangs costs it ``TIMEOUT``, and its tasks are
    missing in the answer.
    """

    #: How long the pools may take to answer, in seconds.
    TIMEOUT = 0.4
    #: Messages of one read; their bodies may be large.
    _PAGE = 100

    def __init__(self, messages: MessageController, project: Project) -> None:
        self._messages = messages
        self._project = project
        #: Pool -> the last thread that read from it.
        self._readers: dict[str, threading.Thread] = {}

    def read(self, queues: Mapping[str, Sequence[str]]) -> list[Message]:
        """Return up to MAX_TASKS delayed tasks of these queues, which are given by their pool."""
        found: list[Message] = []
        until = time.monotonic() + self.TIMEOUT
        readers = [self._start(pool, names, found, until) for pool, names in queues.items() if not self._hangs(pool)]
        for reader in readers:
            reader.join(max(0.0, until - time.monotonic()))
        return found[:MAX_TASKS]

    def _hangs(self, pool: str) -> bool:
        """Return whether an earlier read from the pool has not ended yet."""
        reader = self._readers.get(pool)
        return reader is not None and reader.is_alive()

    def _start(self, pool: str, queues: Sequence[str], found: list[Message], until: float) -> threading.Thread:
        name = f"kombu_pool-delayed-{pool}"
        reader = threading.Thread(target=self._read_all, args=(queues, found, until), name=name, daemon=True)
        self._readers[pool] = reader
        reader.start()
        return reader

    def _read_all(self, queues: Sequence[str], found: list[Message], until: float) -> None:
        for queue in queues:
            # An outage is reported by what consumes from the pool.
            with suppress(KombuPoolError):
                self._read_one(queue, found, until)

    def _read_one(self, queue: str, found: list[Message], until: float) -> None:
        if time.monotonic() > until or len(found) >= MAX_TASKS:
            return
        ids = self._messages.delayed_ids(queue, self._project, MAX_TASKS)
        for start in range(0, len(ids), self._PAGE):
            if time.monotonic() > until or len(found) >= MAX_TASKS:
                return
            page = self._messages.bulk_get(queue, ids[start : start + self._PAGE], self._project)
            messages = [Message(None, 0, stored, queue, None) for stored in page]
            found += [message for message in messages if "task" in message.headers and "id" in message.headers]
