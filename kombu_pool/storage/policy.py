"""What a queue's metadata asks of its store, and how a store that keeps bytes writes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from kombu_pool.errors import ConfigurationError
from kombu_pool.storage.incoming import heeded
from kombu_pool.storage.protocol import (
    DEAD_LETTER_QUEUE,
    DEAD_LETTER_TTL,
    DEFAULT_MESSAGE_DELAY,
    DEFAULT_MESSAGE_TTL,
    MAX_CLAIM_COUNT,
)

if TYPE_CHECKING:
    from kombu_pool.model import Metadata


@dataclass(frozen=True)
class Policy:
    """What the metadata says: ``ttl`` is the longest that a message gets; 0 of anything is nothing said."""

    ttl: float
    delay: float
    max_claim_count: int
    dead_letter_queue: str | None
    dead_letter_ttl: float


@lru_cache(maxsize=1024)
def policy_of(metadata: bytes) -> Policy:
    """Return the policy of a queue by its stored metadata."""
    given = read(metadata)
    target = given.get(DEAD_LETTER_QUEUE)
    target = target if isinstance(target, str) and target else None
    return Policy(
        ttl=heeded(given, DEFAULT_MESSAGE_TTL),
        delay=heeded(given, DEFAULT_MESSAGE_DELAY),
        max_claim_count=int(heeded(given, MAX_CLAIM_COUNT)) if target else 0,
        dead_letter_queue=target,
        dead_letter_ttl=heeded(given, DEAD_LETTER_TTL),
    )


def read(metadata: bytes) -> Metadata:
    """Return metadata from its stored form."""
    found: Metadata = msgspec.msgpack.decode(metadata)
    return found


def write(metadata: Any) -> bytes:
    """Return the stored form of metadata, options or arguments; the same for the same.

    Raises:
        ConfigurationError: it holds what cannot be stored.
    """
    try:
        return msgspec.msgpack.encode(metadata, order="deterministic")
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigurationError(f"cannot be stored: {error}") from error
