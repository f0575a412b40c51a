"""Which tests take which blocks: ``@pytest.mark.recipe(PAGE, FIRST_LINE, ...)``, or ``(PAGE)`` for all of a page."""

from __future__ import annotations

import ast

from tests.support.docs.not_run import NOT_RUN
from tests.support.docs.pages import ROOT, SHOWN, blocks


def marked() -> set[tuple[str, str]]:
    """Return the page and the first line of each block that a test is marked with."""
    found = set()
    for file in (ROOT / "tests" / "docs").glob("test_*.py"):
        module = ast.parse(file.read_text())
        texts = _texts_of(module)
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.recipe":
                page, *firsts = (
                    texts[each.id] if isinstance(each, ast.Name) else ast.literal_eval(each) for each in node.args
                )
                found |= {(page, first) for first in firsts} or all_of(page)
    return found


def _texts_of(module: ast.Module) -> dict[str, str]:
    """Return the texts that a module has under a name, such as ``PAGE``."""
    return {
        node.targets[0].id: node.value.value
        for node in module.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }


def all_of(page: str) -> set[tuple[str, str]]:
    """Return the page and the first line of each block of a page that can be run."""
    return {key for key, block in blocks().items() if key[0] == page and block.language not in SHOWN} - NOT_RUN.keys()
