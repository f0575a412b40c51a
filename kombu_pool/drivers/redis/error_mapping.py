"""The mapping of errors of Redis and redis-py to ours: the one place that knows their classes."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from redis import exceptions as redis_errors

from kombu_pool.drivers.uri import names_address
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

#: What a call into redis-py may raise.
CLIENT_ERRORS = (redis_errors.RedisError, OSError, UnicodeEncodeError)

# Redis names an error by the first word of its reply. Connection errors pass without help.
_BY_CODE: dict[str, tuple[type[KombuPoolError], str]] = {
    "READONLY": (ConnectionError, "it is a read-only replica"),
    "LOADING": (ConnectionError, "it is loading its data"),
    "MASTERDOWN": (ConnectionError, "its master is down"),
    "CLUSTERDOWN": (ConnectionError, "the cluster does not serve these keys"),
    "TRYAGAIN": (ConnectionError, "the keys are moving to another node"),
    "ASK": (ConnectionError, "the keys are moving to another node"),
    "MOVED": (ConnectionError, "its nodes disagree on which of them has the keys"),
    "CROSSSLOT": (StoreError, "the keys of a command are on several nodes"),
    "NOREPLICAS": (ConnectionError, "too few of its replicas are connected"),
    "BUSY": (ConnectionError, "it is busy with a script"),
    "UNBLOCKED": (ConnectionError, "it became a replica"),
    "OOM": (StoreFull, "it is out of memory: raise maxmemory, or consume messages"),
    "MISCONF": (StoreFull, "it refuses writes while it cannot save them to its disk"),
    "NOPERM": (ConfigurationError, "the user lacks a permission"),
    "WRONGTYPE": (IncompatibleStore, "a key under our prefix holds another type; set another key_prefix"),
    # The beginning of "DB index is out of range", which has no code.
    "DB": (ConfigurationError, "the server has no database of that number"),
}
# Redis 7.0 gives these no code.
_REFUSED_IN_SCRIPT = "The user executing the script can't"
_DOWN_IN_SCRIPT = "while the cluster is down"
# Redis 6.2 puts the code of a script's error behind its place: "...: @user_script: 12: -READONLY You can't write ...".
_CODE = re.compile(r"(?:\A|: )-?([A-Z]+)\b")
# Texts of redis-py: "Error 111 connecting to 127.0.0.1:6379. Connection refused.", "Error while reading from
# 127.0.0.1:6379 : (104, 'Connection reset by peer')", "Error 32 while writing to socket. Broken pipe."
_AT_ADDRESS = re.compile(
    r"Error (?:-?\d+ )?(?:while )?(?:connecting to|reading from|writing to) (?P<address>\S+?)"
    r"(?:\. (?P<reason>.+)| ?: \((?:-?\d+, )?['\"](?P<text>.+?)\.?['\"],?\))?\Z",
    re.DOTALL,
)
_ADDRESS = re.compile(r"(?<= from )\S+:\d+\Z|(?<= to )\S+:\d+\Z")


@contextmanager
def translated(where: object) -> Iterator[None]:
    """Raise our errors in place of the client's within the block."""
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
    text = reason(error, str(where))
    code = error_code(error)
    if code in _BY_CODE:
        kind, meaning = _BY_CODE[code]
        return kind(f"{where}: {meaning} ({text})")
    is_lost = isinstance(error, (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError))
    return (ConnectionError if is_lost else StoreError)(f"{where}: {text}")


def reason(error: BaseException, where: str) -> str:
    """Return the error's text; an address that ``where`` names already is left out of it."""
    text = (str(error) or type(error).__name__).removesuffix(".")
    found = _AT_ADDRESS.match(text)
    if found is None:
        return _ADDRESS.sub(lambda address: "the server" if names_address(where, address[0]) else address[0], text)
    address, reason = found["address"], found["text"] or found["reason"] or "no connection"
    # A socket has no other address than its path.
    return reason if ":" not in address or names_address(where, address) else f"{address}: {reason}"


def error_code(error: BaseException) -> str:
    """Return the code of a Redis error, or ""; redis-py cuts off the codes for which it has a class."""
    code = next((code for kind, code in _BY_CLASS if isinstance(error, kind)), None)
    if _REFUSED_IN_SCRIPT in str(error):
        return "NOPERM"
    if _DOWN_IN_SCRIPT in str(error):
        return "CLUSTERDOWN"
    return code or next((code for code in _CODE.findall(str(error)) if code in _BY_CODE), "")


_BY_CLASS: tuple[tuple[type[BaseException], str], ...] = (
    (redis_errors.ReadOnlyError, "READONLY"),
    (redis_errors.BusyLoadingError, "LOADING"),
    (redis_errors.OutOfMemoryError, "OOM"),
    (redis_errors.MasterDownError, "MASTERDOWN"),
    (redis_errors.ClusterDownError, "CLUSTERDOWN"),
    (redis_errors.TryAgainError, "TRYAGAIN"),
    (redis_errors.MovedError, "MOVED"),  # before its base class
    (redis_errors.AskError, "ASK"),
    (redis_errors.ClusterCrossSlotError, "CROSSSLOT"),
    (redis_errors.NoPermissionError, "NOPERM"),
)
