"""Prints the size of parts of the package: ``python -m tests.support.size FOLDER ...``, each a folder or a file.

An attribute is a name that a class assigns to ``self``. A constant is a name of a module or class for numbers; a number
is one in the code other than 0, 1 and -1.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import NamedTuple

_TRIVIAL = (0, 1)


class Size(NamedTuple):
    """The size of some modules."""

    modules: int
    lines: int
    attributes: int
    constants: int
    numbers: int


def size_of(folder: Path) -> Size:
    """Return the size of the modules in a folder and below it, or of one module."""
    files = [folder] if folder.is_file() else sorted(folder.rglob("*.py"))
    texts = [file.read_text() for file in files]
    trees = [ast.parse(text) for text in texts]
    lines, attributes = sum(text.count("\n") for text in texts), sum(map(_attributes, trees))
    return Size(len(files), lines, attributes, sum(map(_constants, trees)), sum(map(_numbers, trees)))


def _attributes(tree: ast.AST) -> int:
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return sum(len({name for node in ast.walk(each) for name in _assigned(node)}) for each in classes)


def _assigned(node: ast.AST) -> list[str]:
    if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Store):
        return []
    return [node.attr] if isinstance(node.value, ast.Name) and node.value.id == "self" else []


def _constants(tree: ast.AST) -> int:
    owners = (node for node in ast.walk(tree) if isinstance(node, (ast.Module, ast.ClassDef)))
    named = (node for owner in owners for node in owner.body if isinstance(node, (ast.Assign, ast.AnnAssign)))
    return sum(len(_names(node)) for node in named if node.value is not None and _is_number(node.value))


def _names(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
    return list(target.elts) if isinstance(target, ast.Tuple) else [target]


def _is_number(value: ast.expr) -> bool:
    """Return whether a value is made of numbers alone."""
    parts = [node for node in ast.walk(value) if isinstance(node, (ast.Constant, ast.Call, ast.Dict, ast.List))]
    return bool(parts) and all(isinstance(one, ast.Constant) and type(one.value) in (int, float) for one in parts)


def _numbers(tree: ast.AST) -> int:
    numbers = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return sum(type(number) in (int, float) and number not in _TRIVIAL for number in numbers)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        counts = (f"{key} {value}" for key, value in size_of(Path(name))._asdict().items())
        sys.stdout.write(f"{name}: {', '.join(counts)}\n")
