"""Opens connections to the Redis of a location; behind Sentinel that is another server after a failover.

All connections of a client go to a new master together. If commands went on at the former one while consumers wait at
the new one, messages would be confirmed that no consumer gets.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import redis
from redis import exceptions as redis_errors

from kombu_pool.drivers.redis.connection import execute
from kombu_pool.drivers.redis.error_mapping import CLIENT_ERRORS
from kombu_pool.drivers.redis.master_tracker import MasterTracker
from kombu_pool.drivers.redis.server_check import check_server
from kombu_pool.drivers.redis.settings import base_settings, tls_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.drivers.redis.location import Address, Location

#: Longest blocking wait of a watch, in seconds. A connection without a reply for the socket timeout longer is dead.
BLOCK_TIMEOUT = 4.0
#: Timeout of an attempt to connect soon after a timeout, in seconds: the waits of successive calls must not add up.
_PROBE_TIMEOUT = 1.0


class Connector:
    """Opens connections, and keeps whether the server was checked and whether it timed out lately."""

    def __init__(self, location: Location, on_new_master: Callable[[], None]) -> None:
        self._location = location
        self._on_new_master = on_new_master
        #: Number of the masters so far. A connection of an earlier one is outdated.
        self.generation = 0
        self._tracker = MasterTracker(location, self._change_generation) if location.service else None
        self._is_checked = False
        self._unresponsive_until = float("-inf")
        self.renew_lock()

    def renew_lock(self) -> None:
        """Replace the lock, which a thread of the parent process may have held at the fork."""
        self._lock = threading.Lock()

    def reset_after_fork(self) -> None:
        """Begin again in a child process."""
        if self._tracker is not None:
            self._tracker.reset_after_fork()

    def close(self) -> None:
        """Track the master no more. Idempotent."""
        if self._tracker is not None:
            self._tracker.close()

    def _change_generation(self, generation: int) -> None:
        self.generation = generation
        self._on_new_master()

    def report_refusal(self) -> None:
        """Ask the Sentinels next, if there are some, without regard to what was known: the master does not serve."""
        if self._tracker is not None:
            self._tracker.accept_older()

    def report_timeout(self) -> None:
        """Mark the server as unresponsive for one socket timeout: connecting to it is probed first."""
        self._unresponsive_until = time.monotonic() + self._location.socket_timeout

    def connect(self, purpose: str) -> tuple[redis.Connection, int]:
        """Return an open connection and its generation.

        Its name in CLIENT LIST names the host, the process and the purpose.
        """
        if time.monotonic() < self._unresponsive_until:
            self._open(purpose, min(_PROBE_TIMEOUT, self._location.socket_timeout))[0].disconnect()
        try:
            raw, generation = self._open(purpose, self._location.socket_timeout + (BLOCK_TIMEOUT if purpose else 0.0))
        except redis_errors.TimeoutError:
            self.report_timeout()
            raise
        if not self._is_checked:
            self._check(raw)
        return raw, generation

    def _check(self, raw: redis.Connection) -> None:
        with self._lock:
            if not self._is_checked:
                check_server(raw, self._location)
                self._is_checked = True

    def _open(self, purpose: str, timeout: float) -> tuple[redis.Connection, int]:
        address, generation = self._address()
        raw = self._new_raw(address, timeout)
        try:
            raw.connect()
        except CLIENT_ERRORS:
            self.report_refusal()
            raise
        with suppress(redis_errors.ResponseError):
            # The name only informs operators. Many users may not set it before Redis 7.0, and services rename CLIENT.
            execute(raw, ("CLIENT", "SETNAME", client_name(purpose)))
        return raw, generation

    def _new_raw(self, address: Address, timeout: float) -> redis.Connection:
        location = self._location
        settings = {
            **base_settings(location),
            "socket_timeout": timeout,
            "socket_connect_timeout": min(timeout, location.socket_connect_timeout),
        }
        if location.db:
            settings["db"] = str(location.db)  # hiredis must be given no numbers
        if location.path:
            return redis.UnixDomainSocketConnection(path=location.path, **settings)
        kind: type[redis.Connection] = redis.SSLConnection if location.ssl else redis.Connection
        return kind(host=address[0], port=address[1], socket_keepalive=True, **settings, **tls_settings(location))

    def _address(self) -> tuple[Address, int]:
        """Return the address to connect to, and its generation."""
        if self._tracker is None:
            return (self._location.nodes or (("", 0),))[0], self.generation
        return self._tracker.address()


def client_name(purpose: str) -> str:
    """Return a connection's name for CLIENT LIST, in which Redis allows no spaces."""
    host = "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in socket.gethostname())
    return f"kombu-pool:{purpose}{host}:{os.getpid()}"
