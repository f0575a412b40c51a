"""The commands that a server runs, from MONITOR."""

from __future__ import annotations

import ast
import itertools
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

PART = re.compile(r'"(?:[^"\\]|\\.)*"')


class Line(NamedTuple):
    """A command, its database, and whether a script ran it."""

    db: int
    by_script: bool
    command: list[bytes]


def read_line(line: bytes) -> Line:
    db, by, command = re.fullmatch(r"\S+ \[(\d+) (\S+)\] (.*)", line.decode()).groups()
    return Line(int(db), by == "lua", [ast.literal_eval("b" + part) for part in PART.findall(command)])


def commands_during(client: Any, work: Callable[[], object]) -> list[Line]:
    """Return the commands that the server runs in the client's database during ``work``."""
    db = client.connection_pool.connection_kwargs["db"]
    with client.monitor() as monitor:
        work()
        client.echo("the end")
        lines = (read_line(line) for line in iter(monitor.connection.read_response, None))
        ran = list(itertools.takewhile(lambda line: line.command != [b"ECHO", b"the end"], lines))
    # Opening a connection is not part of it.
    return [line for line in ran if line.db == db and line.command[0] != b"SELECT"]
