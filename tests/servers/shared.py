"""Servers that all tests of a process share, each with a part of its own: a server's start costs more than a test."""

from __future__ import annotations

import functools
import itertools

from tests.servers.standalone import Server

DATABASES = 4096

_numbers = itertools.count()


@functools.cache
def shared_server() -> Server:
    """Return the server of this process, which no test may stop, and whose database 0 nobody uses."""
    return Server(databases=DATABASES)


def fresh_uri() -> str:
    """Return the URI of an empty database on the shared server.

    What a database does not divide, such as channels and scripts, is shared. When all were given out, the oldest is
    emptied and given out again.
    """
    server = shared_server()
    number = next(_numbers)
    db = 1 + number % (DATABASES - 1)
    if number >= DATABASES - 1:
        server.client(db).flushdb()
    return server.uri(db)
