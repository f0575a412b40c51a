"""Opens connections to the Redis of a location; behind Sentinel that is another server after a failover."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import redis
from redis import exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from kombu_pool.drivers.redis.connection import execute
from kombu_pool.drivers.redis.server_check import check_server

if TYPE_CHECKING:
    from kombu_pool.drivers.redis.location import Location

#: Longest blocking wait of a watch, in seconds. A connection without a reply for the socket timeout longer is dead.
BLOCK_TIMEOUT = 4.0
#: Timeout of an attempt to connect soon after a timeout, in seconds: the waits of successive calls must not add up.
_PROBE_TIMEOUT = 1.0
#: Timeout of each Sentinel, in seconds: one that is down must not use the time of the others.
_SENTINEL_TIMEOUT = 1.0


class Connector:
    """Opens connections, and keeps whether the server was checked and whether it timed out lately."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._sentinel: Sentinel | None = None
        self._is_checked = False
        self._unresponsive_until = float("-inf")
        self.renew_lock()

    def renew_lock(self) -> None:
        """Replace the lock, which a thread of the parent process may have held at the fork."""
        self._lock = threading.Lock()

    def report_timeout(self) -> None:
        """Mark the server as unresponsive for one socket timeout: connecting to it is probed first."""
        self._unresponsive_until = time.monotonic() + self._location.socket_timeout

    def connect(self, purpose: str) -> redis.Connection:
        """Return an open connection, whose name in CLIENT LIST names the host, the process and the purpose."""
        if time.monotonic() < self._unresponsive_until:
            self._open(purpose, min(_PROBE_TIMEOUT, self._location.socket_timeout)).disconnect()
        try:
            raw = self._open(purpose, self._location.socket_timeout + (BLOCK_TIMEOUT if purpose else 0.0))
        except redis_errors.TimeoutError:
            self.report_timeout()
            raise
        if not self._is_checked:
            self._check(raw)
        return raw

    def _check(self, raw: redis.Connection) -> None:
        with self._lock:
            if not self._is_checked:
                check_server(raw, self._location)
                self._is_checked = True

    def _open(self, purpose: str, timeout: float) -> redis.Connection:
        location = self._location
        raw: redis.Connection
        settings = {
            **base_settings(location),
            "socket_timeout": timeout,
            "socket_connect_timeout": min(timeout, location.socket_connect_timeout),
        }
        if location.db:
            settings["db"] = str(location.db)  # hiredis must be given no numbers
        if location.path:
            raw = redis.UnixDomainSocketConnection(path=location.path, **settings)
        else:
            host, port = self._master() if location.service else location.nodes[0]
            kind = redis.SSLConnection if location.ssl else redis.Connection
            raw = kind(host=host, port=port, socket_keepalive=True, **settings, **tls_settings(location))
        raw.connect()
        with suppress(redis_errors.NoPermissionError):
            # The name only informs operators; before Redis 7.0 many users may not set it.
            execute(raw, ("CLIENT", "SETNAME", client_name(purpose)))
        return raw

    def _master(self) -> tuple[str, int]:
        with self._lock:
            if self._sentinel is None:
                self._sentinel = _sentinel(self._location)
            host, port = self._sentinel.discover_master(self._location.service)
        return str(host), int(port)


def base_settings(location: Location) -> dict[str, Any]:
    """Return the settings of every client and connection of redis-py: one attempt, our timeouts."""
    return {
        "username": location.username,
        "password": location.password,
        "socket_timeout": location.socket_timeout,
        "socket_connect_timeout": location.socket_connect_timeout,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
    }


def tls_settings(location: Location) -> dict[str, Any]:
    """Return the settings of redis-py for TLS; none without TLS."""
    if not location.ssl:
        return {}
    return {
        "ssl_ca_certs": location.ssl_ca_certs,
        "ssl_certfile": location.ssl_certfile,
        "ssl_keyfile": location.ssl_keyfile,
        "ssl_cert_reqs": location.ssl_cert_reqs,
        "ssl_check_hostname": location.ssl_check_hostname and location.ssl_cert_reqs != "none",
    }


def client_name(purpose: str) -> str:
    """Return a connection's name for CLIENT LIST, in which Redis allows no spaces."""
    host = "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in socket.gethostname())
    return f"kombu-pool:{purpose}{host}:{os.getpid()}"


def _sentinel(location: Location) -> Sentinel:
    settings = {
        **base_settings(location),
        "username": location.sentinel_username,
        "password": location.sentinel_password,
        **({"ssl": True, **tls_settings(location)} if location.ssl else {}),
    }
    timeout = min(location.socket_timeout, _SENTINEL_TIMEOUT)
    settings["socket_timeout"] = settings["socket_connect_timeout"] = timeout
    return Sentinel(location.nodes, sentinel_kwargs=settings)
