"""Says in our errors what Redis and its client say in theirs: the one place that knows their classes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from redis import exceptions as redis_errors

from kombu_pool.errors import (
    ConfigurationError,
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    IncompatibleStore,
    InvalidMessage,
    KombuPoolError,
    StoreError,
    StoreFull,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a call into the client may raise.
FAULTS = (redis_errors.RedisError, OSError, UnicodeEncodeError)

# Redis says what is wrong by the first word of its answer. What it says with one of these passes by itself.
_PASSING = {
    "READONLY": "it is a read-only replica",
    "LOADING": "it is reading its data",
    "MASTERDOWN": "its master is away",
    "CLUSTERDOWN": "the cluster does not serve these keys",
    "TRYAGAIN": "the keys are on their way to another node",
    "ASK": "the keys are on their way to another node",
    "MOVED": "its nodes do not agree on who has the keys",
    "NOREPLICAS": "too few of its replicas are there",
    "BUSY": "it is busy with a script",
    "UNBLOCKED": "it became a replica",
}
_FULL = {
    "OOM": "it is out of memory: raise maxmemory, or consume what waits",
    "MISCONF": "it takes no writes while it cannot save them to its disk",
}


@contextmanager
def translated(where: object) -> Iterator[None]:
    """Raise our errors for the client's within the block."""
    try:
        yield
    except FAULTS as error:
        if isinstance(error, KombuPoolError):
            raise
        raise translation(error, where) from error


def translation(error: BaseException, where: object) -> KombuPoolError:
    """Return our error for one of the client's."""
    text = str(error) or type(error).__name__
    if isinstance(error, UnicodeEncodeError):
        return InvalidMessage(f"{error.object!r} cannot be stored: {error.reason}")
    word = _word(error, text)
    if word in _PASSING:
        return ConnectionError(f"{where}: {_PASSING[word]} ({text})")
    if word in _FULL:
        return StoreFull(f"{where}: {_FULL[word]} ({text})")
    if isinstance(error, redis_errors.NoPermissionError):
        return ConfigurationError(f"{where}: the user lacks a permission: {text}")
    if isinstance(error, (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)):
        return ConnectionError(f"{where}: {text}")
    if text.startswith("WRONGTYPE") or "WRONGTYPE" in text:
        return IncompatibleStore(f"{where}: a key of ours holds something else; set another key_prefix ({text})")
    return StoreError(f"{where}: {text}")


def _word(error: BaseException, text: str) -> str:
    """Return the word by which Redis names the fault; the client cuts those off that it has a class for."""
    for kind, word in _CUT:
        if isinstance(error, kind):
            return word
    return text.partition(" ")[0]


_CUT: tuple[tuple[type[BaseException], str], ...] = (
    (redis_errors.ReadOnlyError, "READONLY"),
    (redis_errors.BusyLoadingError, "LOADING"),
    (redis_errors.OutOfMemoryError, "OOM"),
    (redis_errors.MasterDownError, "MASTERDOWN"),
    (redis_errors.ClusterDownError, "CLUSTERDOWN"),
    (redis_errors.TryAgainError, "TRYAGAIN"),
)
