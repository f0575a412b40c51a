"""Checks of a Redis before its first use: its version, its eviction policy, and the layout of what it stores for us."""

from __future__ import annotations

import logging
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions as redis_errors

from kombu_pool.drivers.redis.connection import execute_each
from kombu_pool.drivers.redis.keys import store_key
from kombu_pool.drivers.redis.permissions import permission_check, require_permissions
from kombu_pool.errors import (
    ConfigurationError,
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    IncompatibleStore,
    StoreFull,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis

    from kombu_pool.drivers.redis.location import Location

logger = logging.getLogger(__name__)

OLDEST_VERSION: Final = (6, 2)
#: Version of the layout of all keys: their names, their types, and what they hold.
LAYOUT_VERSION: Final = 9


def check_server(raw: redis.Connection, location: Location) -> None:
    """Refuse a server that is too old or a user that lacks permissions, and warn of a server that may evict messages.

    Raises:
        IncompatibleStore: it is too old.
        ConfigurationError: permissions are missing, or the URI must have another scheme.
    """
    info, missing = execute_each(raw, (("INFO",), permission_check(location)))
    if isinstance(info, redis_errors.ResponseError):
        logger.info("%s: its version and maxmemory-policy are not checked, as INFO is refused (%s)", location, info)
    else:
        check_info(parse_info(info), location)
    require_permissions(missing, location)


def parse_info(text: bytes) -> dict[str, str]:
    """Return the fields of an INFO reply by name."""
    lines = (line.partition(":") for line in text.decode("utf-8", "replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def check_info(info: dict[str, str], location: Location) -> None:
    """Check the fields of INFO; raises as :func:`check_server` does."""
    version = info.get("redis_version", "")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers and numbers < OLDEST_VERSION:
        raise IncompatibleStore(f"{location} is Redis {version}; kombu_pool needs 6.2 or newer")
    if info.get("cluster_enabled") == "1" and not location.is_cluster_node:
        raise is_cluster(location)
    if info.get("redis_mode") == "sentinel":
        raise ConfigurationError(f"{location} is a Sentinel: write redis+sentinel://HOST:PORT/MASTER/0{_tls(location)}")
    policy = info.get("maxmemory_policy", "noeviction")
    # A volatile policy deletes keys with an expiry; no key of an existing queue has one.
    if policy.startswith("allkeys-"):
        logger.warning(
            "%s has maxmemory-policy %s: once its memory is full it deletes messages that were not consumed. "
            "Set it to noeviction.",
            location,
            policy,
        )


def is_cluster(location: Location) -> ConfigurationError:
    """Return the error of a location whose server is a node of a cluster."""
    return ConfigurationError(
        f"{location} is a node of a Redis Cluster: write redis+cluster://HOST:PORT{_tls(location)}"
    )


def _tls(location: Location) -> str:
    return "?ssl=true" if location.ssl else ""


def check_layout(command: Callable[..., Any], location: Location) -> None:
    """Refuse a store of another layout version; create the identity of a new store.

    A server that refuses the write is checked without it: it may still be read and consumed from.

    Raises:
        IncompatibleStore: the store has another layout.
    """
    if _stored_identity(command, location) is None:
        with suppress(StoreFull, ConnectionError):
            read_identity(command, location)


def read_identity(command: Callable[..., Any], location: Location) -> str:
    """Return the random id that is made with a store, after its creation if there is none; raises as above."""
    while (identity := _stored_identity(command, location)) is None:
        # One command, so that of two processes that open a new store one wins.
        command("SET", layout_key(location), f"{LAYOUT_VERSION}:{secrets.token_hex(8)}", "NX")
    return identity


def _stored_identity(command: Callable[..., Any], location: Location) -> str | None:
    found: bytes | None = command("GET", layout_key(location))
    if found is None:
        return None
    version, _, identity = found.decode("utf-8", "replace").partition(":")
    if version != str(LAYOUT_VERSION):
        raise IncompatibleStore(
            f"{location}: the keys under key_prefix={location.key_prefix!r} have the layout version {version}, and "
            f"this version of kombu_pool needs {LAYOUT_VERSION}: set another key_prefix, or delete these keys "
            "(layouts older than 0.1.0 are not migrated)"
        )
    return identity


def layout_key(location: Location) -> bytes:
    """Return the key of the layout version and the identity."""
    return store_key(location.key_prefix, "layout")
