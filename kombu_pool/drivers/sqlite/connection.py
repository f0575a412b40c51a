"""Opens a database file: makes it ours when it is new, and refuses it when it is not ours."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.statements import schema
from kombu_pool.errors import ConfigurationError, IncompatibleStore

if TYPE_CHECKING:
    from kombu_pool.drivers.sqlite.location import Location

APPLICATION_ID = 0x6B706F6C  # "kpol"
VERSION = 1
PAGE = 4096
_OLDEST = (3, 35, 0)  # the first with RETURNING


def prepare(path: str) -> None:
    """See to it that the file can be there.

    Raises:
        ConfigurationError: it cannot.
    """
    if sqlite3.sqlite_version_info < _OLDEST:
        raise ConfigurationError(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed")
    file = Path(path)
    if file.is_dir():
        raise ConfigurationError(f"{path} is a folder: name a file in it, such as {file / 'pool.db'}")
    try:
        _make(file.parent)
    except OSError as error:
        raise ConfigurationError(f"{path}: the folder {file.parent} cannot be made: {error.strerror}") from error
    for place in (file, file.parent) if file.exists() else (file.parent,):
        if not os.access(place, os.W_OK):
            raise ConfigurationError(
                f"{path}: {place} is not writable for this user; SQLite writes beside the file too"
            )


def _make(folder: Path) -> None:
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(0o700, exist_ok=True)


def connect(location: Location) -> sqlite3.Connection:
    """Open the file once; sqlite3.Error when it is busy or broken, as SQLite says it."""
    connection = sqlite3.connect(
        location.path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        _set_up(connection, location)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection, location: Location) -> None:
    execute = connection.execute
    # These two count only until the file has its first page.
    execute(f"PRAGMA page_size = {PAGE}")
    execute("PRAGMA auto_vacuum = INCREMENTAL")
    new = _is_new(connection, location.path)
    if execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        execute("PRAGMA journal_mode = WAL").fetchone()
    execute(f"PRAGMA synchronous = {location.synchronous}")
    execute(f"PRAGMA journal_size_limit = {location.wal_size_limit}").fetchone()
    execute("PRAGMA foreign_keys = OFF")
    execute("PRAGMA temp_store = MEMORY")
    execute("PRAGMA cache_size = -4000")
    if new:
        _found(connection, location.path)


def _is_new(connection: sqlite3.Connection, path: str) -> bool:
    mark, version, tables = connection.execute(
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),"
        " (SELECT count(*) FROM sqlite_master)"
    ).fetchone()
    if not mark and not version and not tables:
        return True
    if mark != APPLICATION_ID:
        raise IncompatibleStore(f"{path} is a SQLite database of another application; name another file")
    if version > VERSION:
        raise IncompatibleStore(
            f"{path} was written by a newer kombu_pool (schema {version}, this one knows {VERSION}): upgrade kombu_pool"
        )
    return False


def _found(connection: sqlite3.Connection, path: str) -> None:
    # Somebody else may have been quicker, so look again under the lock.
    connection.execute("BEGIN IMMEDIATE")
    if _is_new(connection, path):
        for statement in schema():
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")
