"""Ends what the processes of an earlier boot of the machine held.

Their deadlines are seconds of that boot, which say nothing in this one. Each connection compares the boot when it is
opened, before its first read: the machine cannot restart while it is open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.statements import statements

if TYPE_CHECKING:
    import sqlite3

    from kombu_pool.drivers.sqlite.times import StoreClock

_SQL = statements("boot")


def enter_boot(connection: sqlite3.Connection, clock: StoreClock) -> None:
    """Store the boot of this process; end all claims, reservations and holders if the file was of another one.

    The lifetimes of queues count from now. What fails leaves a transaction, which ends with the connection.
    """
    if _is_of(connection, clock.boot):
        return
    connection.execute("BEGIN IMMEDIATE")
    # Checked again under the lock: another process may have done it meanwhile.
    if not _is_of(connection, clock.boot):
        connection.execute(_SQL["enter"], (clock.boot,))
        connection.execute(_SQL["restart_lifetimes"], (clock.elapsed(),))
        for name in ("end_claims", "end_reservations", "remove_holders"):
            connection.execute(_SQL[name])
    connection.execute("COMMIT")


def _is_of(connection: sqlite3.Connection, boot: str) -> bool:
    return bool(connection.execute(_SQL["read"]).fetchone()[0] == boot)
