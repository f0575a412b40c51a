"""The path and the settings of a store, from its URI and its options."""

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
    """The real path of a database file, and its settings."""

    path: str
    max_message_size: int
    enable_checksum: bool
    synchronous: str
    busy_timeout: float
    wal_size_limit: int


def locate(uri: StoreUri, options: Mapping[str, Any], conf: Any) -> Location:
    """Return the location of a URI; ``options`` take precedence over those of the URI.

    Raises:
        ConfigurationError: the URI has no path, or an option is invalid.
    """
    values = settings.options(
        settings.SQLITE, {**uri.options, **options}, where=str(uri), conf=conf, group=settings.SQLITE_GROUP
    )
    values["synchronous"] = values["synchronous"].upper()
    return Location(path=os.path.realpath(_path(uri)), **values)


def address(location: Location, options: Mapping[str, Any]) -> str:
    """Return a URI with the given options that opens the file from any working directory."""
    query = f"?{urlencode(options)}" if options else ""
    return f"sqlite:///{quote(location.path)}{query}"


def _path(uri: StoreUri) -> str:
    if uri.authority:
        raise ConfigurationError(
            f"{uri}: a SQLite store is a file, not a host: use sqlite:///relative.db or sqlite:////absolute.db"
        )
    path = uri.path[1:]
    if path in {"", ":memory:"}:
        raise ConfigurationError(
            f"{uri} names no file: use sqlite:///relative.db or sqlite:////absolute.db; memory://NAME needs no file"
        )
    if "\0" in path:
        raise ConfigurationError(f"{uri}: the path contains a NUL character")
    return path


def exists(path: str) -> bool:
    """Return whether there is a store at a path, or something that cannot be read."""
    try:
        return Path(path).stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError:
        return True


def size_of(path: str) -> int:
    """Return the size of a file in bytes; 0 if it is absent."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
