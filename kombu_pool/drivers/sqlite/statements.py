"""Reads the statements and the schema from ``sql/*.sql``; a line ``-- name: purpose`` precedes each statement."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD = re.compile(r"^-- (\w+): .*$", re.MULTILINE)


@cache
def statements(subject: str) -> Mapping[str, str]:
    """Return the statements of ``sql/<subject>.sql`` by name."""
    _, *parts = _HEAD.split(_text(subject))
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


def schema() -> list[str]:
    """Return the statements that create the layout in a new file."""
    bare = "\n".join(line for line in _text("schema").splitlines() if not line.startswith("--"))
    return [statement.strip() for statement in bare.split(";") if statement.strip()]


def _text(subject: str) -> str:
    return (files(__package__) / "sql" / f"{subject}.sql").read_text("utf-8")
