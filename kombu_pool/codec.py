"""The encoding of bodies as records: MessagePack, which holds JSON values, and bytes without base64."""

from __future__ import annotations

from typing import Any

import msgspec

from kombu_pool.errors import CorruptRecord, MessageNotEncodable, MessageTooLarge

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def encode(body: Any, limit: int) -> bytes:
    """Return the record of a body.

    Raises:
        MessageNotEncodable: the body holds something that is neither a JSON value nor bytes.
        MessageTooLarge: the record would be longer than ``limit`` bytes.
    """
    try:
        record = _encode(body)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise MessageNotEncodable(str(error) or type(error).__name__) from error
    if len(record) > limit:
        raise MessageTooLarge(len(record), limit)
    return record


def decode(record: bytes) -> Any:
    """Return the body of a record.

    Raises:
        CorruptRecord: the record is truncated, or was not written by :func:`encode`.
    """
    try:
        return _decode(record)
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        raise CorruptRecord(str(error) or type(error).__name__) from error
