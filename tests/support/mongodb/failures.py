"""Failures of a server, and the death of a process, at a chosen operation."""

from __future__ import annotations

import contextlib


class Died(BaseException):
    """The death of a process, which no handler of an Exception sees."""


def die(*_, **__):
    """Die, in place of a method."""
    raise Died


@contextlib.contextmanager
def fail_point(server, point, mode, **data):
    """Enable one of the server's fail points."""
    server.ask("configureFailPoint", point, mode=mode, data=data)
    try:
        yield
    finally:
        if server.runs:
            server.ask("configureFailPoint", point, mode="off")


def failing_command(server, command, times, **failure):
    """Make the server fail a command so many times, as its ``failCommand`` describes failures."""
    return fail_point(server, "failCommand", {"times": times}, failCommands=[command], **failure)


def closing_connection(server, command, times):
    """Make the server close the connection instead of executing a command, so many times."""
    return failing_command(server, command, times, closeConnection=True)
