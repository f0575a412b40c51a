"""Finds the programs that the tests start."""

from __future__ import annotations

import os
import shutil

import pytest

#: Program -> the Debian package that contains it.
_PACKAGES = {
    "redis-server": "redis-server",
    "valkey-server": "valkey-server",
    "openssl": "openssl",
    "chromium": "chromium",
}
#: Program -> compatible programs.
_ALTERNATIVES = {"redis-server": ["valkey-server"]}


def require(name: str) -> str:
    """Return the path of a program, or of a compatible one.

    Without the program the test is skipped; where ``CI`` is set it fails, because nothing may be missing there.
    ``REDIS_SERVER`` names the program to use as ``redis-server``.
    """
    wanted = [os.environ["REDIS_SERVER"]] if name == "redis-server" and "REDIS_SERVER" in os.environ else []
    wanted = wanted or [name, *_ALTERNATIVES.get(name, [])]
    found = next(filter(None, map(shutil.which, wanted)), None)
    if found is None:
        skip_or_fail(f"{wanted[0]} is not on PATH; apt-get install {_PACKAGES.get(wanted[0], wanted[0])}")
    return found


def skip_or_fail(reason: str) -> None:
    """Skip the test, or fail it where ``CI`` is set."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
