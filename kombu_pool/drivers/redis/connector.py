"""Opens connections to the Redis that a location means, which with Sentinel is another one after a failover."""

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

from kombu_pool.drivers.redis.connection import ask
from kombu_pool.drivers.redis.server_check import inspect

if TYPE_CHECKING:
    from redis import Connection

    from kombu_pool.drivers.redis.location import Location

#: Seconds for which a consumer waits at a stretch. After that, and the time that an answer may take, a connection that
#: brings nothing is known to be dead.
WAIT = 4.0
#: Seconds for an attempt to connect soon after Redis did not answer, so that calls in a row do not add up their waits.
_PROBE = 1.0


class Addresses:
    """Knows where the Redis of a location is now, and whether it answered of late."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._sentinel: Sentinel | None = None
        self._inspected = False
        self._doubted_until = float("-inf")
        self.renew_lock()

    def renew_lock(self) -> None:
        """Replace the lock, which a thread of the parent process may have held at the fork."""
        self._lock = threading.Lock()

    def doubt(self) -> None:
        """Take it that Redis will not answer the next calls either: somebody has just waited long enough."""
        self._doubted_until = time.monotonic() + self._location.socket_timeout

    def connect(self, purpose: str) -> Connection:
        """Return an open connection; its name tells the server's owner who we are and what it is for."""
        if time.monotonic() < self._doubted_until:
            self._open(purpose, min(_PROBE, self._location.socket_timeout)).disconnect()
        try:
            connection = self._open(purpose, self._location.socket_timeout + (WAIT if purpose else 0.0))
        except redis_errors.TimeoutError:
            self.doubt()
            raise
        if not self._inspected:
            self._inspect(connection)
        return connection

    def _inspect(self, connection: Connection) -> None:
        with self._lock:
            if not self._inspected:
                inspect(connection, self._location)
                self._inspected = True

    def _open(self, purpose: str, seconds: float) -> Connection:
        location = self._location
        connection: Connection
        settings = {
            **base_settings(location),
            "socket_timeout": seconds,
            "socket_connect_timeout": min(seconds, location.socket_connect_timeout),
        }
        if location.db:
            settings["db"] = str(location.db)  # hiredis should be given no numbers
        if location.path:
            connection = redis.UnixDomainSocketConnection(path=location.path, **settings)
        else:
            host, port = self._master() if location.service else location.nodes[0]
            kind = redis.SSLConnection if location.ssl else redis.Connection
            connection = kind(host=host, port=port, socket_keepalive=True, **settings, **tls_settings(location))
        connection.connect()
        with suppress(redis_errors.NoPermissionError):
            # A name is a courtesy: who may not give one may work all the same, as it often is before Redis 7.0.
            ask(connection, ("CLIENT", "SETNAME", client_name(purpose)))
        return connection

    def _master(self) -> tuple[str, int]:
        with self._lock:
            if self._sentinel is None:
                self._sentinel = _sentinel(self._location)
            host, port = self._sentinel.discover_master(self._location.service)
        return str(host), int(port)


def base_settings(location: Location) -> dict[str, Any]:
    """Return what every client and connection of redis-py is given: one attempt, our timeouts."""
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
    """Return what redis-py is given for TLS; nothing without."""
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
    """Return a connection's name, which CLIENT LIST shows; Redis takes no spaces in it."""
    host = "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in socket.gethostname())
    return f"kombu-pool:{purpose}{host}:{os.getpid()}"


def _sentinel(location: Location) -> Sentinel:
    settings = {
        **base_settings(location),
        "username": location.sentinel_username,
        "password": location.sentinel_password,
        **({"ssl": True, **tls_settings(location)} if location.ssl else {}),
    }
    # A sentinel that does not answer must not take the time of those that would.
    seconds = min(location.socket_timeout, 1.0)
    settings["socket_timeout"] = settings["socket_connect_timeout"] = seconds
    return Sentinel(location.nodes, sentinel_kwargs=settings)
