"""Finds the programs that the tests start."""

from __future__ import annotations

import os
import shutil

import pytest

#: What brings a program, by its name.
_PACKAGES = {"redis-server": "redis-server", "valkey-server": "valkey-server", "openssl": "openssl"}
#: Programs that can stand in for another one.
_STAND_INS = {"redis-server": ["valkey-server"]}


def require(name: str) -> str:
    """Return the path of a program, or of one that does the same.

    A test without it is skipped, and fails where ``CI`` is set: there, nothing may be missing. ``REDIS_SERVER`` names
    the program to use as ``redis-server``.
    """
    wanted = [os.environ["REDIS_SERVER"]] if name == "redis-server" and "REDIS_SERVER" in os.environ else []
    wanted = wanted or [name, *_STAND_INS.get(name, [])]
    found = next(filter(None, map(shutil.which, wanted)), None)
    if found is None:
        miss(f"{wanted[0]} is not on PATH; apt-get install {_PACKAGES.get(wanted[0], wanted[0])}")
    return found


def miss(reason: str) -> None:
    """Skip the test, or fail it where ``CI`` is set."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
