"""Stored and contract forms of metadata, messages and claims. Stored forms are encoded: not shared."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from kombu_pool import codec
from kombu_pool.drivers.records import age_of
from kombu_pool.errors import ConfigurationError, MessageNotEncodable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.drivers.memory.states import StoredClaim, StoredMessage
    from kombu_pool.model import Claim, Message, Metadata


def encode_mapping(mapping: Mapping[str, Any] | None) -> bytes:
    """Return the stored form of metadata, options or arguments; None is stored as an empty mapping.

    Raises:
        ConfigurationError: the mapping holds a value that cannot be stored.
    """
    try:
        return codec.encode({} if mapping is None else mapping, sys.maxsize)
    except MessageNotEncodable as error:
        raise ConfigurationError(f"cannot be stored: {error.reason}") from error


def decode_mapping(record: bytes) -> dict[str, Any]:
    """Return a mapping from its stored form; the caller owns it."""
    decoded: dict[str, Any] = codec.decode(record)
    return decoded


def to_message(message: StoredMessage, now: float, record: bytes | None = None) -> Message:
    """Return the message in the contract's form, with another record if one is given; the caller owns it.

    Raises:
        CorruptRecord: its record cannot be decoded.
    """
    view: Message = {
        "id": message.id,
        "age": age_of(message.created, message.ttl, now),
        "ttl": message.ttl,
        "body": codec.decode(message.record if record is None else record),
        "claim_id": message.claim_id,
        "claim_count": message.claim_count,
    }
    if message.priority:
        view["priority"] = message.priority
    if message.key is not None:
        view["key"] = message.key
    if message.dead_letter is not None:
        view["dead_letter"] = message.dead_letter.copy()
    return view


def to_claim(claim: StoredClaim, now: float) -> Claim:
    """Return the claim in the contract's form."""
    return {"id": claim.id, "age": max(0, int(now - claim.since)), "ttl": claim.ttl}


class QueueRecord:
    """A queue's metadata, which both planes keep."""

    def __init__(self, metadata: Metadata) -> None:
        self.replace(metadata)

    def replace(self, metadata: Metadata) -> None:
        """Store other metadata, encoded, so that the caller does not share it."""
        self._record = encode_mapping(metadata)
        #: The decoded metadata, for reading only.
        self.metadata = decode_mapping(self._record)

    def copy(self) -> Metadata:
        """Return the metadata; the caller owns it."""
        return decode_mapping(self._record)
