"""Looks at a Redis when it is met: too old a one is refused, one that may lose messages is warned of, once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from redis import exceptions as redis_errors

from kombu_pool.drivers.redis.connection import ask
from kombu_pool.errors import IncompatibleStore

if TYPE_CHECKING:
    from redis import Connection

    from kombu_pool.drivers.redis.location import Location

logger = logging.getLogger(__name__)

OLDEST = (6, 2)


def inspect(connection: Connection, location: Location) -> None:
    """Look at the Redis behind a connection.

    Raises:
        IncompatibleStore: it is too old, or a newer version of kombu_pool wrote what it holds.
    """
    try:
        facts = read_info(ask(connection, ("INFO",)))
    except redis_errors.NoPermissionError:
        logger.info("%s: the user may not ask INFO, so nobody looks whether the server may lose messages", location)
    else:
        judge(facts, location)


def read_info(text: bytes) -> dict[str, str]:
    """Return what INFO says, by its names."""
    lines = (line.partition(":") for line in text.decode("utf-8", "replace").splitlines())
    return {name: value for name, colon, value in lines if colon}


def judge(facts: dict[str, str], location: Location) -> None:
    """Say what is wrong with a server; raises as :func:`inspect` does."""
    version = facts.get("redis_version", "")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers and numbers < OLDEST:
        raise IncompatibleStore(f"{location} is Redis {version}; kombu_pool needs 6.2 or newer")
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        logger.warning(
            "%s has maxmemory-policy %s: once its memory is full it deletes messages that nobody has consumed. "
            "Set it to noeviction.",
            location,
            policy,
        )
