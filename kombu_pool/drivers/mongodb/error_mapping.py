"""Translates the errors of MongoDB and PyMongo into ours: the only module that knows their classes."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bson import errors as bson_errors
from pymongo import errors as mongo_errors

from kombu_pool.drivers.uri import names_address
from kombu_pool.errors import (
    ConfigurationError,
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    CorruptRecord,
    IncompatibleStore,
    InvalidMessage,
    KombuPoolError,
    MessageTooLarge,
    StoreError,
    StoreFull,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The exceptions that a call of PyMongo may raise.
CLIENT_ERRORS = (mongo_errors.PyMongoError, bson_errors.BSONError, OSError, UnicodeEncodeError, OverflowError)

_CONNECTION_ERRORS: tuple[type[BaseException], ...] = (
    mongo_errors.ConnectionFailure,
    mongo_errors.WTimeoutError,
    mongo_errors.ExecutionTimeout,
    mongo_errors.InvalidOperation,  # another thread closed the client during the call
    OSError,
)
#: The code of an operation that was ended from outside, as with its session.
INTERRUPTED = 11601
# Our error and its explanation by the server's code. A condition that passes is a ConnectionError, also where PyMongo
# raises another class.
_BY_CODE: dict[int, tuple[type[KombuPoolError], str]] = {
    13: (ConfigurationError, "the user lacks a permission"),
    18: (ConfigurationError, "wrong user or password"),
    8000: (ConfigurationError, "wrong user or password"),
    100: (ConfigurationError, "w asks for more members than the replica set has"),
    79: (ConfigurationError, "w names an unknown write concern"),
    85: (IncompatibleStore, "an index of ours exists with another definition; set another collection_prefix"),
    86: (IncompatibleStore, "an index of ours exists with another definition; set another collection_prefix"),
    59: (IncompatibleStore, "the server is older than MongoDB 4.4"),
    14031: (StoreFull, "the server's disk is full"),
    39: (StoreFull, "the server cannot write its files"),
    10334: (MessageTooLarge, "a document exceeds MongoDB's limit"),
    17280: (MessageTooLarge, "a key exceeds MongoDB's limit"),
    6: (ConnectionError, "a shard is unreachable"),
    7: (ConnectionError, "a shard's host is not found"),
    50: (ConnectionError, "the operation timed out"),
    64: (ConnectionError, "too few members confirmed the write in time"),
    89: (ConnectionError, "a shard is unreachable"),
    91: (ConnectionError, "the server is shutting down"),
    112: (ConnectionError, "conflicts with concurrent writes persist"),
    133: (ConnectionError, "there is no primary"),
    189: (ConnectionError, "the server is no longer the primary"),
    251: (ConnectionError, "the server dropped the transaction"),
    262: (ConnectionError, "the operation timed out"),
    10107: (ConnectionError, "the server is not the primary"),
    11600: (ConnectionError, "the server is shutting down"),
    INTERRUPTED: (ConnectionError, "the operation was interrupted"),
    11602: (ConnectionError, "the server is no longer the primary"),
    13435: (ConnectionError, "the server is not the primary"),
    13436: (ConnectionError, "the server is starting"),
}
# A text of PyMongo: "HOST:PORT: [Errno 111] Connection refused (configured timeouts: ...),HOST:PORT: timed out,
# Timeout: 5.0s, Topology Description: <TopologyDescription ...>".
_STATE = re.compile(r", (?:Timeout: [\d.]+s|Topology Description: <).*\Z", re.DOTALL)
_TIMEOUTS = re.compile(r" \(configured timeouts: [^)]*\)")
_SERVERS = re.compile(r",(?=[^\s,:]+:\d+: )")
_AT_ADDRESS = re.compile(r"(?P<address>[^\s,]+:\d+): (?:\[Errno -?\d+\] )?(?P<text>.+)\Z", re.DOTALL)


@contextmanager
def translated(where: object) -> Iterator[None]:
    """Raise our errors for PyMongo's within the block."""
    try:
        yield
    except CLIENT_ERRORS as error:
        if isinstance(error, KombuPoolError):
            raise
        found = translation(error, where)
        _shorten(error)
        raise found from error


def _shorten(error: BaseException) -> None:
    """Cut PyMongo's description of the whole deployment off an error's text, which tracebacks show as the cause."""
    if isinstance(error, mongo_errors.ConnectionFailure) and error.args and isinstance(error.args[0], str):
        error.args = (_STATE.sub("", error.args[0]), *error.args[1:])


def translation(error: BaseException, where: object) -> KombuPoolError:
    """Return our error for one of PyMongo's."""
    if isinstance(error, UnicodeEncodeError):
        return InvalidMessage(f"{error.object!r} cannot be stored: {error.reason}")
    text = _text_of(error, str(where))
    if isinstance(error, mongo_errors.DocumentTooLarge):
        return _of_kind(MessageTooLarge, f"{where}: {text}")
    if isinstance(error, (bson_errors.InvalidDocument, bson_errors.InvalidStringData, OverflowError)):
        return InvalidMessage(f"the message cannot be stored: {text}")
    if isinstance(error, bson_errors.BSONError):
        return CorruptRecord(text)
    found = next((_BY_CODE[code] for code in codes_of(error) if code in _BY_CODE), None)
    if found is not None:
        kind, explanation = found
        return _of_kind(kind, f"{where}: {explanation} ({text})")
    return _by_class(error, f"{where}: {text}")


def _text_of(error: BaseException, where: str) -> str:
    """Return the error's text without the server's full answer, PyMongo's state, and addresses that ``where`` names."""
    text = error.details.get("errmsg") if isinstance(error, mongo_errors.OperationFailure) and error.details else None
    text = _TIMEOUTS.sub("", _STATE.sub("", str(text or error))) or type(error).__name__
    if not isinstance(error, mongo_errors.ConnectionFailure):
        return text
    # One reason for each server, separated by commas.
    reasons = [_without_address(reason, where) for reason in _SERVERS.split(text)]
    return ", ".join(dict.fromkeys(reasons))


def _without_address(reason: str, where: str) -> str:
    found = _AT_ADDRESS.match(reason)
    if found is None:
        return reason
    address, text = found["address"], found["text"]
    return text if names_address(where, address) else f"{address}: {text}"


def _by_class(error: BaseException, text: str) -> KombuPoolError:
    if isinstance(error, mongo_errors.ConfigurationError):
        # PyMongo refuses a server by its wire version.
        return (IncompatibleStore if "wire version" in text else ConfigurationError)(text)
    is_transient = isinstance(error, mongo_errors.PyMongoError) and error.has_error_label("TransientTransactionError")
    return (ConnectionError if is_transient or isinstance(error, _CONNECTION_ERRORS) else StoreError)(text)


def _of_kind(kind: type[KombuPoolError], text: str) -> KombuPoolError:
    # MessageTooLarge without size and limit takes its whole text.
    return MessageTooLarge(text, None, None) if kind is MessageTooLarge else kind(text)


def codes_of(error: BaseException) -> list[int]:
    """Return the server's error codes; of a bulk write, those of its failed writes in their order."""
    if isinstance(error, mongo_errors.BulkWriteError):
        details = error.details or {}
        parts = [*details.get("writeErrors", []), *details.get("writeConcernErrors", [])]
        return [part["code"] for part in parts if "code" in part]
    code = error.code if isinstance(error, mongo_errors.OperationFailure) else None
    return [] if code is None else [code]
