"""Which tests take which blocks: ``@pytest.mark.recipe(PAGE, FIRST_LINE, ...)``."""

from __future__ import annotations

import ast

from tests.support.docs.pages import ROOT


def marked() -> set[tuple[str, str]]:
    """Return the page and the first line of each block that a test is marked with."""
    found = set()
    for file in (ROOT / "tests" / "docs").glob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.recipe":
                page, *firsts = (ast.literal_eval(each) for each in node.args)
                found |= {(page, first) for first in firsts}
    return found
