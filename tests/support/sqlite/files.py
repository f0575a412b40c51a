"""Stores in files, for tests that delete or replace the files."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from kombu_pool import drivers

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable

    from kombu_pool.storage import DataDriver

#: The ends of the names of the files beside a database file.
BESIDE = ("-wal", "-shm", "-wake")
#: Seconds after which every process has noticed that its file was deleted.
NOTICED = 2.0


def store(path: Path, *messages: object) -> None:
    """Make a store that holds messages in queue "q", and close it."""
    driver = drivers.open_data(f"sqlite:///{path}")
    driver.queue_controller.create("q")
    post(driver, *messages)
    driver.close()


def post(driver: DataDriver, *messages: object) -> None:
    """Post messages to queue "q"."""
    driver.message_controller.post("q", [{"ttl": None, "body": body} for body in messages], None)


def bodies(driver: DataDriver) -> list[object]:
    """Return the bodies of the messages in queue "q"."""
    return [message["body"] for message in next(driver.message_controller.list("q", limit=0))]


def delete(path: Path, beside: Iterable[str] = ()) -> None:
    """Delete a database file, and those beside it whose names have these ends."""
    path.unlink()
    for end in beside:
        Path(f"{path}{end}").unlink(missing_ok=True)


def stop(process: subprocess.Popen[str]) -> None:
    """Tell a program to stop."""
    assert process.stdin is not None
    process.stdin.write("stop\n")
    process.stdin.flush()


def check(path: Path) -> list[object]:
    """Check a file as SQLite does, and return the bodies of its messages as a fresh process reads them."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    driver = drivers.open_data(f"sqlite:///{path}")
    found = bodies(driver)
    driver.close()
    return found
