"""Opens a database file: creates the layout in a new file, and refuses files of another application or layout."""

from __future__ import annotations

import logging
import os
import pwd
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from kombu_pool.drivers.sqlite.boot import enter_boot
from kombu_pool.drivers.sqlite.statements import schema
from kombu_pool.drivers.sqlite.wakeup import wake_path
from kombu_pool.drivers.sqlite.wal import WalUpkeep
from kombu_pool.errors import ConfigurationError, IncompatibleStore

if TYPE_CHECKING:
    from kombu_pool.drivers.sqlite.location import Location
    from kombu_pool.drivers.sqlite.times import StoreClock

logger = logging.getLogger(__name__)

APPLICATION_ID = 0x6B706F6C  # "kpol"
#: Version of the layout in ``schema.sql``, kept as the file's ``user_version``. A file of another version is refused.
LAYOUT_VERSION = 12
#: The first id of a posted message, a time in 2001. Messages from other stores have lower ones, and so come first.
FIRST_POSTED = 10**15
_PAGE_SIZE = 4096
_OLDEST = (3, 35, 0)  # the first with RETURNING
#: What to do about a folder that cannot be used.
_REMEDY = "Let that user write to the folder, or name a file elsewhere: pool+sqlite:////FOLDER/broker.db"
#: Folders that this process has warned of.
_warned: set[Path] = set()


def prepare(path: str) -> None:
    """Check that the file can be opened or created, and create its folder.

    Raises:
        ConfigurationError: it cannot.
    """
    if sqlite3.sqlite_version_info < _OLDEST:
        raise ConfigurationError(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed")
    file = Path(path)
    try:
        _check_paths(file)
    except OSError as error:  # a name that is too long, a circle of links
        raise ConfigurationError(f"{error.filename}: {error.strerror}") from error
    for place in (file, file.parent) if file.exists() else (file.parent,):
        if not os.access(place, os.W_OK):
            raise ConfigurationError(
                f"{path}: {place} is not writable for the user {_user()}; SQLite writes beside the file too. {_REMEDY}"
            )


def _user() -> str:
    """Return the name of the user of this process, or the number of one without a name, as in a container."""
    number = os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _check_paths(file: Path) -> None:
    if file.is_dir():
        raise ConfigurationError(f"{file} is a folder: name a file in it, such as {file / 'pool.db'}")
    try:
        _create_folder(file.parent)
    except OSError as error:
        raise ConfigurationError(
            f"{file}: the folder {file.parent} cannot be made by the user {_user()}: {error.strerror}. {_REMEDY}"
        ) from error
    _warn_of_strangers(file.parent)
    beside = Path(wake_path(str(file)))
    # It has the longest name of all files of the store.
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(beside.lstat().st_mode):
            raise ConfigurationError(f"{beside} is no regular file: another program or user has made it; delete it")


def _warn_of_strangers(folder: Path) -> None:
    """Warn once of a folder in which every user may replace the file."""
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX and folder not in _warned:
        _warned.add(folder)
        logger.warning("%s is writable for every user, who may replace or delete the store in it: chmod o-w it", folder)


def _create_folder(folder: Path) -> None:
    if not folder.is_dir():
        _create_folder(folder.parent)
        folder.mkdir(0o700, exist_ok=True)


def connect(location: Location, clock: StoreClock) -> tuple[sqlite3.Connection, str]:
    """Open a file that exists, set it up if it is empty, and return the connection and the store's identity.

    Raises:
        IncompatibleStore: the file belongs to another application or has another layout version.
        sqlite3.Error: it is busy or damaged.
    """
    connection = sqlite3.connect(
        # Not created here: see store_file.
        f"file:{quote(os.fsencode(location.path))}?mode=rw",
        uri=True,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        _set_up(connection, location)
        enter_boot(connection, clock)
        return connection, connection.execute("SELECT identity FROM store").fetchone()[0]
    except BaseException:
        connection.close()
        raise


def _set_up(connection: sqlite3.Connection, location: Location) -> None:
    execute = connection.execute
    # These two have an effect only until the file has its first page.
    execute(f"PRAGMA page_size = {_PAGE_SIZE}")
    execute("PRAGMA auto_vacuum = INCREMENTAL")
    new = _is_new(connection, location.path)
    if execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        execute("PRAGMA journal_mode = WAL").fetchone()
    execute(f"PRAGMA synchronous = {location.synchronous}")
    execute(f"PRAGMA journal_size_limit = {location.wal_size_limit}").fetchone()
    execute("PRAGMA foreign_keys = OFF")
    execute("PRAGMA temp_store = MEMORY")
    execute(f"PRAGMA wal_autocheckpoint = {WalUpkeep.PAGES}")
    execute("PRAGMA cache_size = -4000")
    if new:
        _create_layout(connection, location.path)


def _is_new(connection: sqlite3.Connection, path: str) -> bool:
    application, version, tables = connection.execute(
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),"
        " (SELECT count(*) FROM sqlite_master)"
    ).fetchone()
    if not application and not version and not tables:
        return True
    if application != APPLICATION_ID:
        raise IncompatibleStore(
            f"{path} is a SQLite database of another application"
            f" (application_id {application:#x}, not {APPLICATION_ID:#x}); name another file, or move this one away"
        )
    if version != LAYOUT_VERSION:
        age, remedy = ("a newer", "upgrade kombu_pool, or ") if version > LAYOUT_VERSION else ("an older", "")
        raise IncompatibleStore(
            f"{path} was written by {age} kombu_pool (layout version {version}, this one needs {LAYOUT_VERSION}):"
            f" {remedy}move the file away or delete it: before 0.1.0 layouts are not migrated"
        )
    return False


def _create_layout(connection: sqlite3.Connection, path: str) -> None:
    # Checked again under the lock: another process may have created it meanwhile.
    connection.execute("BEGIN IMMEDIATE")
    if _is_new(connection, path):
        for statement in schema():
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {LAYOUT_VERSION}")
    connection.execute("COMMIT")
