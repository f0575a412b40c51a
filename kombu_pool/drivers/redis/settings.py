"""The settings of all connections of redis-py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.backoff import NoBackoff
from redis.retry import Retry

if TYPE_CHECKING:
    from kombu_pool.drivers.redis.location import Location


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
