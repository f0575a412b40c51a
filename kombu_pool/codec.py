"""The encoding of bodies as records: MessagePack, which holds JSON values, and bytes without base64.

Dates, decimals and UUIDs, which MessagePack lacks or which lose a part of themselves in it, are extensions of it.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from kombu_pool.errors import CorruptRecord, MessageNotEncodable, MessageTooLarge

if TYPE_CHECKING:
    from collections.abc import Callable

_PLAIN = frozenset((str, int, float, bool, bytes, type(None)))
_CONTAINERS = frozenset((dict, list, tuple))
_SCALARS = (str, int, float, bytes, type(None))
#: Type -> the code of its extension and its stored text. A datetime is a date, too, and comes first.
_EXTENSIONS: dict[type, tuple[int, Callable[[Any], str]]] = {
    datetime: (1, datetime.isoformat),
    date: (2, date.isoformat),
    Decimal: (3, str),
    UUID: (4, str),
}
_READERS: dict[int, Callable[[str], Any]] = {1: datetime.fromisoformat, 2: date.fromisoformat, 3: Decimal, 4: UUID}


def _read(code: int, stored: memoryview) -> Any:
    return _READERS[code](str(stored, "utf-8"))


_encode = msgspec.msgpack.Encoder().encode
_encode_deterministic = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(ext_hook=_read).decode


def encode(body: Any, limit: int) -> bytes:
    """Return the record of a body.

    Raises:
        MessageNotEncodable: the body holds a value of a type that no record keeps.
        MessageTooLarge: the record would be longer than ``limit`` bytes.
    """
    try:
        record = _encode(body if _is_plain(body) else _extended(body, "body"))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise MessageNotEncodable(str(error) or type(error).__name__) from error
    if len(record) > limit:
        raise MessageTooLarge(len(record), limit)
    return record


def encode_deterministic(value: Any) -> bytes:
    """Return the record of a value; equal values have equal records.

    Raises:
        TypeError, ValueError, OverflowError, RecursionError: the value holds something that no record keeps.
    """
    return _encode_deterministic(extended(value))


def decode(record: bytes) -> Any:
    """Return the body of a record.

    Raises:
        CorruptRecord: the record is truncated, or was not written by :func:`encode`.
    """
    try:
        return _decode(record)
    except (msgspec.DecodeError, ValueError, TypeError, KeyError, InvalidOperation, RecursionError) as error:
        raise CorruptRecord(str(error) or type(error).__name__) from error


def extended(value: Any) -> Any:
    """Return a value in the form that MessagePack keeps: itself, or a copy with extensions.

    Raises:
        TypeError: it holds a value of a type that no record keeps, which the error names by its place.
    """
    return value if _is_plain(value) else _extended(value, "body")


def _is_plain(value: Any) -> bool:
    """Return whether MessagePack keeps a value as it is; most it does, and then no copy is made."""
    if type(value) is dict:
        # Every message passes here: a loop over a few keys takes less time than building any iterator over them.
        for key in value:
            if type(key) is not str:
                return False
        value = value.values()
    elif type(value) not in _CONTAINERS:
        return type(value) in _PLAIN
    for each in value:
        kind = type(each)
        if kind not in _PLAIN and (kind not in _CONTAINERS or (each and not _is_plain(each))):
            return False
    return True


def _extended(value: Any, place: str) -> Any:
    if isinstance(value, _SCALARS):
        return value
    for kind, (code, text) in _EXTENSIONS.items():
        if isinstance(value, kind):
            return msgspec.msgpack.Ext(code, text(value).encode())
    if isinstance(value, dict):
        return {_key(key, place): _extended(each, f"{place}[{key!r}]") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_extended(each, f"{place}[{index}]") for index, each in enumerate(value)]
    raise _refusal(place, value)


def _key(key: Any, place: str) -> Any:
    if isinstance(key, _SCALARS):
        return key
    raise _refusal(f"the key {key!r} of {place}", key)


def _refusal(place: str, value: Any) -> TypeError:
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return TypeError(f"{place} is of type {module}{kind.__qualname__}")
