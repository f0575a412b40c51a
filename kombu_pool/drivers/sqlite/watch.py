"""Waits for claimable messages: until a wake-up signal, the end of a delay or a claim, or an interruption."""

from __future__ import annotations

import math
import os
import select
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.codec import project_key
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.drivers.sqlite.times import NEVER, Now
from kombu_pool.drivers.sqlite.wakeup import WakeListener, drain
from kombu_pool.errors import KombuPoolError
from kombu_pool.storage import Watch as Contract

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.times import StoreClock
    from kombu_pool.model import Project

_READY = statements("watch")["ready"]

#: Seconds between two checks of the file without a signal: a writer may die between its commit and the signal.
RECHECK = 1.0
#: Seconds between two checks with a clock that is not the system's, which may be moved at any time.
_CUSTOM_CLOCK_POLL = 0.02
#: Seconds between two checks where signals cannot be received: shortest after activity, then growing.
_SHORTEST_POLL, _LONGEST_POLL = 0.002, 0.05
#: Seconds for which signals are ignored after one for other queues, so that a busy file does not wake every watch.
_FIRST_MUTE, _LONGEST_MUTE = 0.0003, 0.005


class Watch(Contract):
    """Watches queues of one file."""

    def __init__(self, database: Database, clock: StoreClock, queues: Iterable[tuple[Project, str]]) -> None:
        self._database = database
        self._clock = clock
        self._queues = [(project_key(project), name) for project, name in queues]
        self._waiting = threading.Lock()
        self._poll = _SHORTEST_POLL
        #: The id of each queue that exists: a deletion ends a wait.
        self._ids: dict[tuple[str, str], int] = {}
        self._open()
        with suppress(KombuPoolError):  # the first wait tries again, and raises
            self._is_ready()
        self._unchecked = True

    def _open(self) -> None:
        self._pid = os.getpid()
        self._closed = False
        self._listener = WakeListener(self._database.path)
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_out, False)
        os.set_blocking(self._wake_in, False)
        self._unchecked = True
        self._next_due = NEVER
        self._version: tuple[int, ...] = ()
        self._checked = -math.inf
        self._mute = 0.0

    def wait(self, timeout: float) -> bool:
        if self._pid != os.getpid():
            # The parent's descriptors stay open: other files may have their numbers by now.
            self._waiting = threading.Lock()
            self._open()
        with self._waiting:
            deadline = time.monotonic() + timeout
            # A write since the last wait, even by the caller, may have changed the next due time.
            self._checked = -math.inf
            while not self._closed:
                if drain(self._wake_out) or (self._has_news() and self._is_ready()):
                    return True
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._sleep(left)
            return False

    def interrupt(self) -> None:
        if self._pid != os.getpid():
            return  # The descriptors are the parent's until this process waits.
        with suppress(OSError):
            os.writev(self._wake_in, [b"\0"])

    def close(self) -> None:
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        self.interrupt()
        with self._waiting:
            self._listener.close()
            wake_out, self._wake_out, wake_in, self._wake_in = self._wake_out, -1, self._wake_in, -1
            os.close(wake_in)
            os.close(wake_out)

    def _has_news(self) -> bool:
        """Return whether the file has changed or a due time has come, so that the queues must be checked."""
        news = self._listener.receive() or self._unchecked or self._clock.now().until(self._next_due) <= 0
        now = time.monotonic()
        if news or now - self._checked >= (RECHECK if self._listener.file >= 0 else self._poll):
            self._checked = now
            version = self._current_version()
            news = news or version != self._version
            self._version = version
            if not self._listener.is_at_path():
                self._listener.close()
                self._listener = WakeListener(self._database.path)
                news = True
        self._poll = _SHORTEST_POLL if news else min(self._poll * 1.2, _LONGEST_POLL)
        return news

    def _current_version(self) -> tuple[int, ...]:
        """Return a value that changes with every commit, of other connections and of this one, and with the file."""
        database = self._database
        with database.lock:
            return (*database.row("PRAGMA data_version"), database.connection.total_changes, database.losses)

    def _is_ready(self) -> bool:
        """Return whether a queue has claimable messages or was deleted, and store the next due time."""
        now, ready, wall, elapsed = self._clock.now(), False, NEVER.wall, NEVER.elapsed
        for queue in self._queues:
            found = self._database.row(_READY, (*now, *queue))
            known = self._ids.pop(queue, None)
            if found is not None:
                self._ids[queue] = found[0]
                ready = ready or bool(found[1])
                wall = min([wall, *(time for time in found[2:4] if time is not None)])
                elapsed = elapsed if found[4] is None else min(elapsed, found[4])
            if known is not None and known != self._ids.get(queue):
                ready = True
        self._next_due = Now(wall, elapsed)
        self._unchecked = False
        self._mute = 0.0 if ready else min(self._mute * 1.5 or _FIRST_MUTE, _LONGEST_MUTE)
        return ready

    def _sleep(self, left: float) -> None:
        if self._mute and self._listener.file >= 0:
            self._block(min(left, self._mute), listening=False)
            left -= self._mute
        if left <= 0:
            return
        limits = [left, RECHECK if self._listener.file >= 0 else self._poll]
        if self._clock.is_system:
            limits.append(max(0.0, self._clock.now().until(self._next_due)))
        else:
            limits.append(_CUSTOM_CLOCK_POLL)
        if not self._block(min(limits), listening=True):
            self._mute = 0.0

    def _block(self, seconds: float, *, listening: bool) -> bool:
        """Wait for an interruption or, if ``listening``, for a signal; return whether one came."""
        files = [self._wake_out, self._listener.file] if listening and self._listener.file >= 0 else [self._wake_out]
        # Looked up at each call, not at import: gevent and eventlet replace it.
        if not hasattr(select, "poll"):
            return bool(select.select(files, [], [], seconds)[0])
        poller = select.poll()
        for file in files:
            poller.register(file, select.POLLIN)
        return bool(poller.poll(math.ceil(seconds * 1000)))
