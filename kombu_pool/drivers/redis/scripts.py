"""The Lua scripts: one file each, compiled with what they include, and known to Redis by their SHA-1."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_LUA = files(__package__) / "lua"
_INCLUDE = re.compile(r"^-- include (\w+)\n", re.MULTILINE)


class Script(NamedTuple):
    """A script: ``sha`` names it to a server that has it cached, ``text`` loads it into one that has not.

    ``repeatable``: running it again after a lost answer does no harm and gives the same answer.
    ``replicated``: ``min_replicas`` must have its effect before it counts: a post of messages that are not transient.
    Nothing else waits for them, so that consumers go on without. ``busy_wait``: the caller busy-waits for the reply.
    """

    name: str
    sha: bytes
    text: bytes
    repeatable: bool
    replicated: bool = False
    busy_wait: bool = False


@cache
def script(name: str, *, repeatable: bool = False, replicated: bool = False, busy_wait: bool = False) -> Script:
    """Return the script ``lua/<name>.lua``, its include lines replaced by files of ``lua/include``."""
    text = _resolve(name, set()).encode()
    return Script(name, hashlib.sha1(text).hexdigest().encode(), text, repeatable, replicated, busy_wait)  # noqa: S324 - Redis' choice


def _resolve(path: str, included: set[str]) -> str:
    """Return the text of a file; an include that includes others brings each of them once."""

    def include(found: re.Match[str]) -> str:
        if found[1] in included:
            return ""
        included.add(found[1])
        return _resolve(f"include/{found[1]}", included)

    return _INCLUDE.sub(include, _LUA.joinpath(f"{path}.lua").read_text("utf-8"))
