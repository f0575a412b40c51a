"""What the documentation points at is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: How a page names a test: ``tests/some/test_file.py::test_name``.
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


@cache
def names_in(path: str) -> frozenset[str]:
    file = ROOT / path
    if not file.exists():
        return frozenset()
    return frozenset(node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef))


def test_every_test_that_a_page_names_exists():
    named = [
        (page.name, path, name)
        for page in (ROOT / "docs").glob("*.md")
        for path, name in TEST.findall(page.read_text())
    ]

    assert named
    assert [each for each in named if each[2] not in names_in(each[1])] == []
