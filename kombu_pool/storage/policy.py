"""A queue's policy by its metadata, and the encoding of metadata in stores that keep bytes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from kombu_pool import codec
from kombu_pool.errors import ConfigurationError
from kombu_pool.storage import queue_metadata as keys
from kombu_pool.storage.validation import positive_number

if TYPE_CHECKING:
    from kombu_pool.model import Metadata


@dataclass(frozen=True)
class Policy:
    """The settings of a queue; ``ttl`` is the longest ttl of its messages; 0 in a number means unset."""

    ttl: float
    delay: float
    max_claim_count: int
    #: The target of dead letters: the exchange if it is set, else the queue; without both, there is none.
    dead_letter_queue: str | None
    dead_letter_exchange: str | None
    dead_letter_routing_key: str | None
    dead_letter_ttl: float
    #: Whether a message that expires is dead-lettered.
    expires_to_dlq: bool
    max_length: int
    max_length_bytes: int
    #: Whether a post that would exceed the max length is refused; else the first free messages make room.
    rejects_overflow: bool

    @property
    def has_dlq(self) -> bool:
        """Whether the queue names a target for dead letters."""
        return self.dead_letter_queue is not None or self.dead_letter_exchange is not None

    @property
    def is_bounded(self) -> bool:
        """Whether the queue has a max length, in messages or bytes."""
        return bool(self.max_length or self.max_length_bytes)

    def fits(self, length: int, size: int) -> bool:
        """Return whether ``length`` free messages, with records of ``size`` bytes in total, are within the limits."""
        return (not self.max_length or length <= self.max_length) and (
            not self.max_length_bytes or size <= self.max_length_bytes
        )


@lru_cache(maxsize=1024)
def policy_of(metadata: bytes) -> Policy:
    """Return the policy of a queue by its stored metadata."""
    return policy(read(metadata))


def policy(given: Metadata) -> Policy:
    """Return the policy of a queue by its metadata."""
    exchange = _text(given, keys.DEAD_LETTER_EXCHANGE)
    queue = _text(given, keys.DEAD_LETTER_QUEUE) or None if exchange is None else None
    has_target = exchange is not None or queue is not None
    return Policy(
        ttl=positive_number(given, keys.DEFAULT_MESSAGE_TTL),
        delay=positive_number(given, keys.DEFAULT_MESSAGE_DELAY),
        max_claim_count=int(positive_number(given, keys.MAX_CLAIM_COUNT)) if has_target else 0,
        dead_letter_queue=queue,
        dead_letter_exchange=exchange,
        dead_letter_routing_key=_text(given, keys.DEAD_LETTER_ROUTING_KEY),
        dead_letter_ttl=positive_number(given, keys.DEAD_LETTER_TTL),
        expires_to_dlq=has_target and given.get(keys.DEAD_LETTER_EXPIRED) is True,
        max_length=int(positive_number(given, keys.MAX_LENGTH)),
        max_length_bytes=int(positive_number(given, keys.MAX_LENGTH_BYTES)),
        rejects_overflow=given.get(keys.OVERFLOW) == keys.REJECT_PUBLISH,
    )


def _text(given: Metadata, key: str) -> str | None:
    value = given.get(key)
    return value if isinstance(value, str) else None


def read(metadata: bytes) -> Metadata:
    """Decode stored metadata."""
    found: Metadata = codec.decode(metadata)
    return found


def write(metadata: Any) -> bytes:
    """Encode metadata, options or arguments; equal values have equal encodings.

    Raises:
        ConfigurationError: the value holds something that cannot be stored.
    """
    try:
        return codec.encode_deterministic(metadata)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigurationError(f"cannot be stored: {error}") from error
