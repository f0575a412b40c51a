"""Finds forbidden words: in the prose of every text file, and in names of files, identifiers, keys and statements."""

from __future__ import annotations

import io
import keyword
import re
import subprocess
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
#: Allows the words of its line; what follows is the reason.
MARKER = re.compile(r"language: allow - \S")
#: Whose words are checked; the lists themselves hold the forbidden ones.
SUFFIXES = {".py", ".lua", ".sql", ".md", ".toml", ".txt", ""}
LISTS = {"prose.txt", "words.txt"}
OTHERS = {"LICENSE", ".gitignore"}

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(rf"[rbfRBF]*(['\"])({_NAME.pattern})\1\Z")
#: A comment that names a statement of SQL, a script of Lua, or what a script includes.
_NAMING_COMMENT = re.compile(r"-- (\w+): |-- include (\S+)")


class Fault(NamedTuple):
    """A forbidden word, and where it stands."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def faults_in(root: Path) -> list[Fault]:
    """Return the faults of all files below ``root`` that are, or could be, tracked."""
    prose = re.compile(rf"\b(?:{'|'.join(_lines(HERE / 'prose.txt'))})\b", re.IGNORECASE)
    words = {word.lower() for word in _lines(HERE.parent / "words.txt")}
    return [fault for path in texts(root) for fault in _faults_of(root, path, prose, words)]


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def texts(root: Path) -> Iterator[Path]:
    """Yield the text files below ``root`` that are, or could be, tracked."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    if (root / ".git").exists():
        names = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    else:
        paths = [path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file()]
        names = [str(path) for path in paths if not any(part.startswith(".") for part in path.parts[:-1])]
    for name in names:
        path = root / name
        if path.suffix in SUFFIXES and path.name not in LISTS | OTHERS and path.is_file():
            yield path


def _faults_of(root: Path, path: Path, prose: re.Pattern[str], words: set[str]) -> Iterator[Fault]:
    name, text = str(path.relative_to(root)), path.read_text()
    for part in _parts(name):
        if part in words:
            yield Fault(name, 0, f"the file's name has the word {part!r}")
    lines = text.splitlines()
    allowed = {number for number, line in enumerate(lines, 1) if MARKER.search(line)}
    for number, line in enumerate(lines, 1):
        if number not in allowed:
            for found in prose.finditer(line):
                yield Fault(name, number, f"{found[0]!r} in: {line.strip()}")
    for number, identifier in _identifiers(path, text):
        if number not in allowed and not identifier.startswith("test_"):
            for part in _parts(identifier):
                if part in words:
                    yield Fault(name, number, f"the name {identifier!r} has the word {part!r}")


def _identifiers(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Yield each name of a program with its line: identifiers, and strings that name a key, a column or a script."""
    if path.suffix == ".py":
        yield from _python_names(text)
    elif path.suffix in {".lua", ".sql"}:
        for number, line in enumerate(text.splitlines(), 1):
            naming = _NAMING_COMMENT.match(line)
            for found in _NAME.finditer((naming[1] or naming[2]) if naming else line.partition("--")[0]):
                yield number, found[0]


def _python_names(text: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
            yield token.start[0], token.string
        elif token.type == tokenize.STRING and (key := _KEY.match(token.string)):
            yield token.start[0], key[2]


def _parts(name: str) -> list[str]:
    return [part.lower() for part in _PART.findall(name)]
