"""Shares a database file among many writers: permits to write, in a table that all processes map.

SQLite's lock goes to the writer that asks at the right moment, and each change of writer costs the next one its cache.
So from the first busy answer on a process looks at the table: while writers wait, a few have permits, each for some
milliseconds, and the others sleep until it is their turn, in the order in which they came. A permit is no lock: what
killed processes leave in the table, and what two processes write there at the same moment, changes which writer tries
first, and nothing else. Nothing here blocks but ``time.sleep``, which gevent and eventlet replace.
"""

from __future__ import annotations

import mmap
import os
import random
import time
from time import monotonic_ns

from kombu_pool.drivers.sqlite.wakeup import is_wake_file, open_wake_file

#: Writers at a time: while one commits, the others make their next messages, or wait for the disk.
PERMITS = 4
#: Waiting writers that have a place in the order; those beyond try at intervals.
PLACES = 64
# In nanoseconds. How long a process keeps a permit while others wait; how long without a transaction, after which its
# permit is free; and how long without a look at the table, after which a waiting writer is dead or stopped.
_TERM, _IDLE, _GONE = 4_000_000, 500_000, 50_000_000
#: Nanoseconds for which a process with a permit watches the transaction of another, in its first attempts: most are
#: shorter than any sleep.
_WATCH, _WATCHED_ATTEMPTS = 40_000, 2
# In seconds: pauses between attempts with a permit, and between looks at the table without one.
_FIRST_PAUSE, _LONGEST_PAUSE, _LOOK = 0.00002, 0.001, 0.0005
#: Seconds between two checks that the mapped file is still the one beside the database.
_CHECK_INTERVAL = 1.0

# The table's words of eight bytes. The first word of the file is for the signals to watches.
_WRITING = 1
_OWNERS, _SINCE, _USED = 8, 16, 24
_ARRIVED, _SEEN = 32, 32 + PLACES
_SIZE = 4096


# Tables of the parent of this process. A map closes its descriptor, whose number may be another file's by now.
_inherited: list[memoryview] = []


class WritePermits:
    """The permits to write to one database file, as one process uses them."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._table: memoryview | None = None
        self._mapped: os.stat_result | None = None
        self._check_at = 0.0
        self._id = 0
        self._owned = 0

    def may_begin(self) -> bool:
        """Return whether a transaction may begin now: this process has a permit, or no writer waits."""
        table = self._table
        if table is None:
            return True
        now = monotonic_ns()
        return self.renew(table, now) or (not _ahead(table, now, now) and self.take(table, now))

    def begun(self) -> None:
        """Show the others that a transaction has begun."""
        if self._table is not None:
            self._table[_WRITING] = 1

    def ended(self) -> None:
        """Show the others that the transaction has ended."""
        if self._table is not None:
            self._table[_WRITING] = 0

    def wait(self) -> WaitingWriter | None:
        """Return a waiting writer; None if the table cannot be used."""
        table = self._map()
        return None if table is None else WaitingWriter(self, table)

    def forget(self) -> None:
        """Leave the permit to the parent of this process."""
        if self._table is not None:
            _inherited.append(self._table)
            self._table = None
        self._check_at = 0.0

    def renew(self, table: memoryview, now: int) -> bool:
        """Return whether this process has a permit, which is in use now."""
        owned = self._owned
        if table[_OWNERS + owned] != self._id:
            return False
        table[_USED + owned] = now
        return True

    def take(self, table: memoryview, now: int) -> bool:
        """Return whether this process gets a permit that is free."""
        for permit in range(PERMITS):
            if not table[_OWNERS + permit] or not 0 < _left(table, permit, now) <= _TERM:
                table[_SINCE + permit] = table[_USED + permit] = now
                table[_OWNERS + permit] = self._id
                self._owned = permit
                return True
        return False

    def _map(self) -> memoryview | None:
        """Return the table, mapped again if its file was replaced."""
        now = time.monotonic()
        if now >= self._check_at:
            self._check_at = now + _CHECK_INTERVAL
            try:
                if self._mapped is None or self._table is None or not is_wake_file(self._mapped, self._path):
                    self._mapped, self._table = _map(self._path)
                    self._id = random.getrandbits(62) | 1
            except (OSError, ValueError):
                self._table = None
        return self._table


class WaitingWriter:
    """A thread that waits for a permit, and then for the lock."""

    def __init__(self, permits: WritePermits, table: memoryview) -> None:
        self._permits = permits
        self._table = table
        self._arrived = now = monotonic_ns()
        self._place = -1
        self._ahead = 0
        self._attempts = 0
        self._has_permit = permits.renew(table, now)

    def pause(self) -> float:
        """Return the seconds until the next look at the table; 0 if the lock seems to be free."""
        if self._has_permit:
            self._attempts += 1
            if self._attempts <= _WATCHED_ATTEMPTS and self._watch():
                return 0
            return min(_FIRST_PAUSE * self._attempts, _LONGEST_PAUSE)
        now, table = monotonic_ns(), self._table
        left = min(_left(table, permit, now) for permit in range(PERMITS))
        if self._ahead:
            return max(_LOOK, self._ahead * _TERM / PERMITS / 2e9)
        return min(max(left / 1e9, _FIRST_PAUSE), _LOOK)

    def may_try(self) -> bool:
        """Return whether it is this thread's turn to ask for the lock."""
        now, table = monotonic_ns(), self._table
        self._has_permit = self._permits.renew(table, now)
        if not self._has_permit:
            self._keep_place(now)
            self._ahead = _ahead(table, now, self._arrived)
            self._has_permit = not self._ahead and self._permits.take(table, now)
        return self._has_permit

    def leave(self) -> None:
        """Give up the place in the order."""
        if self._place >= 0 and self._table[_ARRIVED + self._place] == self._arrived:
            self._table[_ARRIVED + self._place] = 0

    def _watch(self) -> bool:
        """Wait for at most ``_WATCH``, without a sleep; return whether the transaction of another writer has ended."""
        table, end = self._table, monotonic_ns() + _WATCH
        while table[_WRITING]:
            if monotonic_ns() >= end:
                return False
        return True

    def _keep_place(self, now: int) -> None:
        table = self._table
        if self._place < 0 or table[_ARRIVED + self._place] != self._arrived:
            first = random.randrange(PLACES)  # noqa: S311 - nothing secret
            places = (*range(first, PLACES), *range(first))
            self._place = next((place for place in places if not _is_waiting(table, place, now)), -1)
            if self._place < 0:
                return
            table[_ARRIVED + self._place] = self._arrived
        table[_SEEN + self._place] = now


def _map(path: str) -> tuple[os.stat_result, memoryview]:
    file = open_wake_file(path)
    try:
        found = os.fstat(file)
        # Written, not only made longer: a page without a block on a full disk would kill the process that uses it.
        if found.st_size < _SIZE:
            os.pwrite(file, bytes(_SIZE - found.st_size), found.st_size)
        return found, memoryview(mmap.mmap(file, _SIZE)).cast("Q")
    finally:
        os.close(file)


def _left(table: memoryview, permit: int, now: int) -> int:
    """Return the nanoseconds until a permit is free; more than ``_TERM`` is what another clock has left there."""
    return int(min(table[_SINCE + permit] + _TERM, table[_USED + permit] + _IDLE)) - now


def _is_waiting(table: memoryview, place: int, now: int) -> bool:
    return bool(table[_ARRIVED + place]) and abs(now - table[_SEEN + place]) < _GONE


def _ahead(table: memoryview, now: int, arrived: int) -> int:
    """Return how many living writers have waited since before ``arrived``."""
    came, seen = (table[first : first + PLACES].tolist() for first in (_ARRIVED, _SEEN))
    return sum(1 for one, look in zip(came, seen, strict=True) if 0 < one < arrived and abs(now - look) < _GONE)
