"""Maps SQLite's errors to those of kombu_pool: the one place that knows SQLite's error codes."""

from __future__ import annotations

import sqlite3

from kombu_pool.errors import (
    ConfigurationError,
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    IncompatibleStore,
    InvalidMessage,
    KombuPoolError,
    StoreError,
    StoreFull,
)

BUSY, LOCKED, READONLY, CORRUPT, FULL, PROTOCOL, TOOBIG, NOTADB = 5, 6, 8, 11, 13, 15, 18, 26
_BUSY_CODES = {BUSY, LOCKED, PROTOCOL}

# Python 3.10 does not give the code.
_TEXTS = {
    "is locked": BUSY,
    "locking protocol": PROTOCOL,
    "readonly": READONLY,
    "malformed": CORRUPT,
    "is full": FULL,
    "too big": TOOBIG,
    "not a database": NOTADB,
}

_OURS: dict[int, type[KombuPoolError]] = {
    READONLY: StoreFull,
    CORRUPT: StoreError,
    FULL: StoreFull,
    TOOBIG: InvalidMessage,
}

#: What a call into SQLite may raise.
SqliteFailure = (sqlite3.Error, UnicodeEncodeError, OverflowError)


def code_of(error: BaseException) -> int:
    """Return SQLite's primary error code; 0 if it is unknown."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return int(code) & 0xFF
    text = str(error)
    return next((code for part, code in _TEXTS.items() if part in text), 0)


def is_busy(error: BaseException) -> bool:
    """Return whether the file is locked by another connection."""
    return isinstance(error, sqlite3.OperationalError) and code_of(error) in _BUSY_CODES


def translated(error: BaseException, path: str) -> KombuPoolError:
    """Return the kombu_pool error for an error of SQLite."""
    if isinstance(error, UnicodeEncodeError):
        return ConfigurationError(f"{error.object!r} is not a text: {error.reason}")
    if isinstance(error, OverflowError):
        return InvalidMessage(f"a number is out of range: {error}")
    code = code_of(error)
    if code == NOTADB:
        return IncompatibleStore(f"{path} is not a SQLite database; name another file, or move this one away")
    if isinstance(error, sqlite3.IntegrityError):
        return StoreError(f"{path}: {error}")
    return _OURS.get(code, ConnectionError)(f"{path}: {error}")
