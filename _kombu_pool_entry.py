"""Makes ``pool://`` known to Kombu, without an import by its user.

Kombu loads each entry point of the group ``kombu.serializers`` as it imports ``kombu.serialization``, before any Celery
process looks a transport up, and lets an error of one of them break ``from kombu import Queue`` for everybody.
So this is a module of its own that depends on nothing, does next to nothing, and never raises. It must not import what
imports ``kombu.serialization``, which is half made at that moment; ``kombu.transport`` does not.
"""

from __future__ import annotations

from typing import Any

TRANSPORT = "kombu_pool.transport:Transport"

#: Kombu takes ``pool+redis://...`` for the transport ``pool``, but looks the whole scheme up once it fails over to it.
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
    "pool+sqlite",
)


def register(*more: str) -> None:
    """Name our transport to Kombu under every alias, and under ``more`` of them, unless somebody else has the name."""
    try:
        from kombu.transport import TRANSPORT_ALIASES  # noqa: PLC0415 - an absent Kombu is no reason to raise

        for alias in (*ALIASES, *more):
            TRANSPORT_ALIASES.setdefault(alias, TRANSPORT)
    except Exception:  # noqa: BLE001, S110 - a Kombu of another layout: it says itself what it lacks when pool:// is used
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


#: What the entry point has to be: a serializer's encoder, decoder, content type and encoding.
serializer = (_encode, _decode, "application/x-pool-msgpack", "binary")

register()
