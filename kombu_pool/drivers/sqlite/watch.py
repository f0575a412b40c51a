"""Waiting for something to claim: asleep until the bell rings, a delay or a claim ends, or somebody interrupts."""

from __future__ import annotations

import math
import os
import select
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from kombu_pool.clock import SystemClock
from kombu_pool.drivers.sqlite.doorbell import Ear, emptied
from kombu_pool.drivers.sqlite.scope import project_key
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.storage import Watch as Contract

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.model import Project

_READY = statements("watching")["ready"]

#: A writer may die between its commit and the bell, so the file is looked at this often all the same.
RECHECK = 1.0
#: A clock that is not the system's may be moved at any time.
_FOREIGN_CLOCK = 0.02
#: Where nobody can listen to the bell: how often the file is looked at, from the last activity on.
_SHORTEST_POLL, _LONGEST_POLL = 0.002, 0.05
#: How long the bell is not heeded after it rang for others, so that a busy file wakes nobody for nothing all the time.
_FIRST_DEAFNESS, _LONGEST_DEAFNESS = 0.0003, 0.005


class Watch(Contract):
    """Watches queues of one file."""

    def __init__(self, database: Database, clock: Clock, queues: Iterable[tuple[Project, str]]) -> None:
        self._database = database
        self._clock = clock
        self._queues = [(project_key(project), name) for project, name in queues]
        self._waiting = threading.Lock()
        self._poll = _SHORTEST_POLL
        self._open()

    def _open(self) -> None:
        self._pid = os.getpid()
        self._closed = False
        self._ear = Ear(self._database.path)
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_out, False)
        os.set_blocking(self._wake_in, False)
        self._unread = True
        self._due = math.inf
        self._version: tuple[int, ...] = ()
        self._checked = -math.inf
        self._deafness = 0.0

    def wait(self, timeout: float) -> bool:
        if self._pid != os.getpid():
            # The parent's files stay as they are: their numbers may be other files' by now.
            self._waiting = threading.Lock()
            self._open()
        with self._waiting:
            deadline = time.monotonic() + timeout
            # What was written since the last wait, by the caller too, may have uncovered a later time.
            self._checked = -math.inf
            while not self._closed:
                if emptied(self._wake_out) or (self._has_news() and self._is_ready()):
                    return True
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._sleep(left)
            return False

    def interrupt(self) -> None:
        if self._pid != os.getpid():
            return  # It is the parent's, until somebody here waits.
        with suppress(OSError):
            os.writev(self._wake_in, [b"\0"])

    def close(self) -> None:
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        self.interrupt()
        with self._waiting:
            self._ear.close()
            wake_out, self._wake_out, wake_in, self._wake_in = self._wake_out, -1, self._wake_in, -1
            os.close(wake_in)
            os.close(wake_out)

    def _has_news(self) -> bool:
        """Tell whether the queues are worth a look: something happened to the file, or a time has come."""
        news = self._ear.heard() or self._unread or self._clock.time() >= self._due
        now = time.monotonic()
        if news or now - self._checked >= (RECHECK if self._ear.file >= 0 else self._poll):
            self._checked = now
            version = self._current_version()
            news = news or version != self._version
            self._version = version
        self._poll = _SHORTEST_POLL if news else min(self._poll * 1.2, _LONGEST_POLL)
        return news

    def _current_version(self) -> tuple[int, ...]:
        """Return what changes with the file: others' commits, and ours."""
        database = self._database
        with database.lock:
            return (*database.row("PRAGMA data_version"), database.connection.total_changes)

    def _is_ready(self) -> bool:
        """Look whether there is something to claim, and when there will be."""
        now = self._clock.time()
        ready, due = False, math.inf
        for key, name in self._queues:
            found = self._database.row(_READY, (now, key, name))
            if found is not None:
                ready = ready or bool(found[0])
                due = min([due, *(time for time in found[1:] if time is not None)])
        self._due = due
        self._unread = False
        self._deafness = 0.0 if ready else min(self._deafness * 1.5 or _FIRST_DEAFNESS, _LONGEST_DEAFNESS)
        return ready

    def _sleep(self, left: float) -> None:
        if self._deafness and self._ear.file >= 0:
            self._block(min(left, self._deafness), hearing=False)
            left -= self._deafness
        if left <= 0:
            return
        limits = [left, RECHECK if self._ear.file >= 0 else self._poll]
        if isinstance(self._clock, SystemClock):
            limits.append(max(0.0, self._due - self._clock.time()))
        else:
            limits.append(_FOREIGN_CLOCK)
        if not self._block(min(limits), hearing=True):
            self._deafness = 0.0

    def _block(self, seconds: float, *, hearing: bool) -> bool:
        """Wait for an interruption or, if ``hearing``, for the bell; tell whether there was one."""
        files = [self._wake_out, self._ear.file] if hearing and self._ear.file >= 0 else [self._wake_out]
        # Looked up now, not at import: gevent and eventlet put their own there.
        if not hasattr(select, "poll"):
            return bool(select.select(files, [], [], seconds)[0])
        poller = select.poll()
        for file in files:
            poller.register(file, select.POLLIN)
        return bool(poller.poll(math.ceil(seconds * 1000)))
