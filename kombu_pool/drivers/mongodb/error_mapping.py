"""Says in our errors what MongoDB and its client say in theirs: the one place that knows their classes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from bson import errors as bson_errors
from pymongo import errors as mongo_errors

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

#: What a call into the client may raise.
CLIENT_ERRORS = (mongo_errors.PyMongoError, bson_errors.BSONError, OSError, UnicodeEncodeError, OverflowError)

_LOST: tuple[type[BaseException], ...] = (
    mongo_errors.ConnectionFailure,
    mongo_errors.WTimeoutError,
    mongo_errors.ExecutionTimeout,
    mongo_errors.InvalidOperation,  # somebody else closed the client in the middle of a call
    OSError,
)
# By the server's code. What passes by itself is a connection error, whether or not the client knows it as one.
_MEANINGS: dict[int, tuple[type[KombuPoolError], str]] = {
    13: (ConfigurationError, "the user lacks a permission"),
    18: (ConfigurationError, "it does not know that user and password"),
    8000: (ConfigurationError, "it does not know that user and password"),
    100: (ConfigurationError, "it has not as many members as w asks for"),
    79: (ConfigurationError, "it does not know what w names"),
    85: (IncompatibleStore, "an index of ours is something else there; set another collection_prefix"),
    86: (IncompatibleStore, "an index of ours is something else there; set another collection_prefix"),
    59: (IncompatibleStore, "it is older than MongoDB 4.4"),
    14031: (StoreFull, "its disk is full"),
    39: (StoreFull, "it cannot write its files"),
    10334: (MessageTooLarge, "a document is longer than MongoDB takes"),
    17280: (MessageTooLarge, "a key is longer than MongoDB takes"),
    6: (ConnectionError, "it does not reach a shard"),
    7: (ConnectionError, "it does not find a shard"),
    50: (ConnectionError, "it took too long"),
    64: (ConnectionError, "too few members confirmed it in time"),
    89: (ConnectionError, "it does not reach a shard"),
    91: (ConnectionError, "it shuts down"),
    112: (ConnectionError, "others wrote the same all the time"),
    133: (ConnectionError, "it has no primary"),
    189: (ConnectionError, "it is the primary no more"),
    251: (ConnectionError, "it forgot the transaction"),
    262: (ConnectionError, "it took too long"),
    10107: (ConnectionError, "it is not the primary"),
    11600: (ConnectionError, "it shuts down"),
    11602: (ConnectionError, "it is the primary no more"),
    13435: (ConnectionError, "it is not the primary"),
    13436: (ConnectionError, "it is starting"),
}


@contextmanager
def translated(where: object) -> Iterator[None]:
    """Raise our errors for the client's within the block."""
    try:
        yield
    except CLIENT_ERRORS as error:
        if isinstance(error, KombuPoolError):
            raise
        raise translation(error, where) from error


def translation(error: BaseException, where: object) -> KombuPoolError:
    """Return our error for one of the client's."""
    if isinstance(error, UnicodeEncodeError):
        return InvalidMessage(f"{error.object!r} cannot be stored: {error.reason}")
    text = _words_of(error)
    if isinstance(error, mongo_errors.DocumentTooLarge):
        return _of_kind(MessageTooLarge, f"{where}: {text}")
    if isinstance(error, (bson_errors.InvalidDocument, bson_errors.InvalidStringData, OverflowError)):
        return InvalidMessage(f"it cannot be stored: {text}")
    if isinstance(error, bson_errors.BSONError):
        return CorruptRecord(text)
    found = next((_MEANINGS[code] for code in codes_of(error) if code in _MEANINGS), None)
    if found is not None:
        kind, meaning = found
        return _of_kind(kind, f"{where}: {meaning} ({text})")
    return _by_class(error, f"{where}: {text}")


def _words_of(error: BaseException) -> str:
    """Return what the error says, without the whole of the server's answer that the client repeats."""
    said = error.details.get("errmsg") if isinstance(error, mongo_errors.OperationFailure) and error.details else None
    return str(said or error) or type(error).__name__


def _by_class(error: BaseException, text: str) -> KombuPoolError:
    if isinstance(error, mongo_errors.ConfigurationError):
        # The client refuses a server by the number of its protocol.
        return (IncompatibleStore if "wire version" in text else ConfigurationError)(text)
    passing = isinstance(error, mongo_errors.PyMongoError) and error.has_error_label("TransientTransactionError")
    return (ConnectionError if passing or isinstance(error, _LOST) else StoreError)(text)


def _of_kind(kind: type[KombuPoolError], text: str) -> KombuPoolError:
    # Who knows neither the size nor the limit says it in words.
    return MessageTooLarge(text, None, None) if kind is MessageTooLarge else kind(text)


def codes_of(error: BaseException) -> list[int]:
    """Return the codes by which the server names what went wrong: that of the first write that failed, first."""
    if isinstance(error, mongo_errors.BulkWriteError):
        details = error.details or {}
        parts = [*details.get("writeErrors", []), *details.get("writeConcernErrors", [])]
        return [part["code"] for part in parts if "code" in part]
    code = error.code if isinstance(error, mongo_errors.OperationFailure) else None
    return [] if code is None else [code]
