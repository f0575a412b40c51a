"""The Lua scripts: each in a file of its own, behind what they share, and known to Redis by its SHA-1."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_INCLUDE = re.compile(r"^-- include (\w+)$", re.MULTILINE)


class Script(NamedTuple):
    """A script: ``sha`` names it to a Redis that has it, ``text`` brings it to one that has not.

    ``repeatable``: to run it again after an answer that got lost does no harm, and gives the same answer.
    ``writes``: what it does is to be on the replicas before it counts. A claim, or its end, need not be: what a
    failover forgets of it comes back. ``awake``: somebody has nothing else to do than to wait for the answer.
    """

    name: str
    sha: bytes
    text: bytes
    repeatable: bool
    writes: bool
    awake: bool = False


@cache
def script(name: str, *, repeatable: bool = False, writes: bool = True, awake: bool = False) -> Script:
    """Return the script of ``lua/<name>.lua``, with what it includes before it."""
    text = _INCLUDE.sub(lambda found: _text(found[1]), _text(name)).encode()
    return Script(name, hashlib.sha1(text).hexdigest().encode(), text, repeatable, writes, awake)  # noqa: S324 - Redis' choice


@cache
def _text(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text("utf-8")
