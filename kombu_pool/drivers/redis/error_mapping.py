"""Says in our errors what Redis and its client say in theirs: the one place that knows their classes."""

from __future__ import annotations

import re
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

# Redis says what is wrong by the first word of its answer. Connection errors pass by themselves.
_MEANINGS: dict[str, tuple[type[KombuPoolError], str]] = {
    "READONLY": (ConnectionError, "it is a read-only replica"),
    "LOADING": (ConnectionError, "it is reading its data"),
    "MASTERDOWN": (ConnectionError, "its master is away"),
    "CLUSTERDOWN": (ConnectionError, "the cluster does not serve these keys"),
    "TRYAGAIN": (ConnectionError, "the keys are on their way to another node"),
    "ASK": (ConnectionError, "the keys are on their way to another node"),
    "MOVED": (ConnectionError, "its nodes do not agree on who has the keys"),
    "NOREPLICAS": (ConnectionError, "too few of its replicas are there"),
    "BUSY": (ConnectionError, "it is busy with a script"),
    "UNBLOCKED": (ConnectionError, "it became a replica"),
    "OOM": (StoreFull, "it is out of memory: raise maxmemory, or consume what waits"),
    "MISCONF": (StoreFull, "it takes no writes while it cannot save them to its disk"),
    "NOPERM": (ConfigurationError, "the user lacks a permission"),
    "WRONGTYPE": (IncompatibleStore, "a key of ours holds something else; set another key_prefix"),
    # As it begins, for it has no word of its own.
    "DB": (ConfigurationError, "the server has no database of that number"),
}
# What a script ran into, Redis 6.2 says behind where: "...: @user_script: 12: -READONLY You can't write ...".
_WORD = re.compile(r"(?:\A|: )-?([A-Z]+)\b")


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
    if isinstance(error, UnicodeEncodeError):
        return InvalidMessage(f"{error.object!r} cannot be stored: {error.reason}")
    text = str(error) or type(error).__name__
    word = word_of(error)
    if word in _MEANINGS:
        kind, meaning = _MEANINGS[word]
        return kind(f"{where}: {meaning} ({text})")
    lost = isinstance(error, (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError))
    return (ConnectionError if lost else StoreError)(f"{where}: {text}")


def word_of(error: BaseException) -> str:
    """Return the word by which Redis names the fault; the client cuts those off that it has a class for."""
    named = next((word for kind, word in _CUT if isinstance(error, kind)), None)
    return named or next((word for word in _WORD.findall(str(error)) if word in _MEANINGS), "")


_CUT: tuple[tuple[type[BaseException], str], ...] = (
    (redis_errors.ReadOnlyError, "READONLY"),
    (redis_errors.BusyLoadingError, "LOADING"),
    (redis_errors.OutOfMemoryError, "OOM"),
    (redis_errors.MasterDownError, "MASTERDOWN"),
    (redis_errors.ClusterDownError, "CLUSTERDOWN"),
    (redis_errors.TryAgainError, "TRYAGAIN"),
    (redis_errors.MovedError, "MOVED"),  # before its base class
    (redis_errors.AskError, "ASK"),
    (redis_errors.NoPermissionError, "NOPERM"),
)
