"""Metadata, options and arguments as a store keeps them: encoded, so that nobody shares them with it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from kombu_pool import codec
from kombu_pool.errors import ConfigurationError, MessageNotEncodable

if TYPE_CHECKING:
    from collections.abc import Mapping


def encode(given: Mapping[str, Any] | None) -> bytes:
    """Return the stored form of a mapping, or of an empty one.

    Raises:
        ConfigurationError: it holds what cannot be stored.
    """
    try:
        return codec.encode({} if given is None else given, sys.maxsize)
    except MessageNotEncodable as error:
        raise ConfigurationError(f"cannot be stored: {error.reason}") from error


def decode(record: bytes) -> dict[str, Any]:
    """Return a mapping from its stored form, for the caller to keep."""
    decoded: dict[str, Any] = codec.decode(record)
    return decoded
