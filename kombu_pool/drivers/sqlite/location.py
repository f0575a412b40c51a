"""Where a store is and how it is to be used: what a URI and the options around it come to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from kombu_pool import conf as settings
from kombu_pool.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.drivers.uri import StoreUri


@dataclass(frozen=True)
class Location:
    """A database file, by its real path, and its settings."""

    path: str
    max_message_size: int
    synchronous: str
    busy_timeout: float
    wal_size_limit: int


def locate(uri: StoreUri, options: Mapping[str, Any], conf: Any) -> Location:
    """Read a URI and the options above it.

    Raises:
        ConfigurationError: there is no path in it, or an option cannot work.
    """
    values = settings.options(
        settings.SQLITE, {**uri.options, **options}, where=str(uri), conf=conf, group=settings.SQLITE_GROUP
    )
    values["synchronous"] = values["synchronous"].upper()
    return Location(path=os.path.realpath(_path(uri)), **values)


def address(location: Location, options: Mapping[str, Any]) -> str:
    """Return the URI that finds the file from everywhere, with the given options."""
    query = f"?{urlencode(options)}" if options else ""
    return f"sqlite:///{quote(location.path)}{query}"


def _path(uri: StoreUri) -> str:
    if uri.authority:
        raise ConfigurationError(
            f"{uri}: a SQLite store is a file: sqlite:///relative.db or sqlite:////absolute.db, not on a host"
        )
    path = uri.path[1:]
    if path in {"", ":memory:"}:
        raise ConfigurationError(
            f"{uri} names no file: sqlite:///relative.db and sqlite:////absolute.db do; memory://NAME needs none"
        )
    if "\0" in path:
        raise ConfigurationError(f"{uri}: the path holds a NUL character")
    return path


def size_of(path: str) -> int:
    """Return the size of a file in bytes, 0 when it is not there."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
