"""What a queue's metadata asks of its store."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from kombu_pool.errors import ConfigurationError
from kombu_pool.storage import (
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
    """``ttl``: the longest that a message gets; ``max_claim_count`` 0: no limit; the rest as in the metadata."""

    ttl: float | None
    delay: float
    max_claim_count: int
    dead_letter_queue: str | None
    dead_letter_ttl: float | None


@lru_cache(maxsize=1024)
def policy_of(metadata: bytes) -> Policy:
    """Return the policy of a queue by its stored metadata."""
    given = read(metadata)
    target = given.get(DEAD_LETTER_QUEUE)
    target = target if isinstance(target, str) and target else None
    return Policy(
        ttl=_seconds(given.get(DEFAULT_MESSAGE_TTL)),
        delay=_seconds(given.get(DEFAULT_MESSAGE_DELAY)) or 0,
        max_claim_count=int(_seconds(given.get(MAX_CLAIM_COUNT)) or 0) if target else 0,
        dead_letter_queue=target,
        dead_letter_ttl=_seconds(given.get(DEAD_LETTER_TTL)),
    )


def _seconds(value: Any) -> float | None:
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf
    return value if fits else None


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
