"""Registers ``pool://`` with Kombu, without an import by the application.

Kombu loads each entry point of the group ``kombu.serializers`` while it imports ``kombu.serialization``, before a
Celery process looks up any transport. An error of an entry point breaks ``from kombu import Queue`` for every user.
So this module stands alone: it has no dependencies, does little, and never raises. It must not import a module that
imports ``kombu.serialization``, which is partially initialised at that moment; ``kombu.transport`` does not.
"""

from __future__ import annotations

from typing import Any

TRANSPORT = "kombu_pool.transport:Transport"

#: All schemes: Kombu resolves ``pool+redis://...`` to the transport ``pool``, but after a failover to the whole scheme.
ALIASES = (
    "pool",
    "pool+conf",
    "pool+memory",
    "pool+mongodb",
    "pool+mongodb+srv",
    "pool+redis",
    "pool+redis+cluster",
    "pool+redis+sentinel",
    "pool+redis+socket",
    "pool+rediss",
    "pool+rediss+cluster",
    "pool+rediss+sentinel",
    "pool+sqlite",
    "pool+valkey",
    "pool+valkeys",
)


def register(*more: str) -> None:
    """Register the transport with Kombu under every alias, and under ``more``; a name in use stays as it is."""
    try:
        from kombu.transport import TRANSPORT_ALIASES  # noqa: PLC0415 - an absent Kombu must not raise

        for alias in (*ALIASES, *more):
            TRANSPORT_ALIASES.setdefault(alias, TRANSPORT)
    except Exception:  # noqa: BLE001, S110 - an incompatible Kombu: the use of pool:// reports it
        pass


def _encode(value: Any) -> bytes:
    return bytes(_msgpack().encode(value))


def _decode(record: bytes) -> Any:
    return _msgpack().decode(record)


def _msgpack() -> Any:
    try:
        from msgspec import msgpack  # noqa: PLC0415 - most processes never use this serializer
    except ImportError as error:
        raise ImportError("The serializer 'pool-msgpack' needs msgspec: pip install msgspec") from error
    return msgpack


#: The entry point's value: a serializer's encoder, decoder, content type and encoding.
serializer = (_encode, _decode, "application/x-pool-msgpack", "binary")

register()
