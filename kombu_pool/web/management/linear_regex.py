"""Regular expressions that are searched in a time that grows with the name and the pattern, whatever they are.

Python's own engine tries one way after the other, and there may be millions. Here all ways are followed at once, in the
states of an automaton (Thompson's construction).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: Bound of the states of a pattern; a count of repetitions has one part for each.
MAX_STATES = 2000
#: The parts of a pattern: what stands for one character, an assertion, a group, an alternative, and a quantifier.
PARTS = re.compile(
    r"(?P<reference>\\[1-9])|(?P<assertion>[\^$]|\\[AZbB])"
    r"|(?P<character>\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\N\{[^}]*\}|\\0[0-7]{0,2}|\\."
    r"|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(?!\d+,?\d*\}|,\d*\})|[^()|?*+{\\\[])"
    r"|(?P<special>\(\?(?!:))|(?P<open>\((?:\?:)?)|(?P<close>\))|(?P<or>\|)"
    r"|(?P<optional>\?)|(?P<repeated>[*+]|\{\d*,?\d*\})",
    re.DOTALL,
)


class _Part(NamedTuple):
    """A part of a pattern: a ``test`` of a character or a place, or others in a row, as a choice, or repeated."""

    kind: str
    parts: tuple[_Part, ...] = ()
    test: re.Pattern[str] | None = None
    least: int = 0
    most: int | None = None


class _State(NamedTuple):
    """A state: what is tested, and which states come next; ``is_place`` if the test takes no character."""

    test: re.Pattern[str] | None
    is_place: bool
    next: list[int]


_END = 0


class LinearPattern:
    """A valid regular expression without references, lookarounds and flags.

    Raises:
        ValueError: it has one of these, or too many parts.
    """

    def __init__(self, pattern: str) -> None:
        self._states = [_State(None, is_place=False, next=[])]
        self._known: dict[tuple[int, str], bool] = {}
        self._start = self._build(_parse(pattern), _END)

    def search(self, text: str, check: Callable[[], object]) -> bool:
        """Return whether some part of a text matches; ``check`` is called for each character, and may raise."""
        reached: list[int] = []
        for place in range(len(text) + 1):
            check()
            current = self._closure([self._start, *reached], text, place)
            if _END in current:
                return True
            if place < len(text):
                reached = [self._states[state].next[0] for state in current if self._takes(state, text[place])]
        return False

    def _closure(self, states: Iterable[int], text: str, place: int) -> set[int]:
        """Return these states, and those that are reached from them without a character."""
        found: set[int] = set()
        left = list(states)
        while left:
            number = left.pop()
            if number in found:
                continue
            found.add(number)
            state = self._states[number]
            if state.test is None or (state.is_place and state.test.match(text, place)):
                left += state.next
        return found

    def _takes(self, number: int, character: str) -> bool:
        state = self._states[number]
        if state.test is None or state.is_place:
            return False
        key = number, character
        if key not in self._known:
            self._known[key] = state.test.fullmatch(character) is not None
        return self._known[key]

    def _add(self, test: re.Pattern[str] | None, after: list[int], *, is_place: bool = False) -> int:
        if len(self._states) >= MAX_STATES:
            raise ValueError("the pattern may take long: it has too many parts, or repeats them too often")
        self._states.append(_State(test, is_place, after))
        return len(self._states) - 1

    def _build(self, part: _Part, after: int) -> int:
        """Add the states of a part that ``after`` follows; return the first."""
        if part.kind in {"character", "assertion"}:
            return self._add(part.test, [after], is_place=part.kind == "assertion")
        if part.kind == "choice":
            return self._add(None, [self._build(one, after) for one in part.parts])
        if part.kind == "repeated":
            return self._repeat(part, after)
        for one in reversed(part.parts):
            after = self._build(one, after)
        return after

    def _repeat(self, part: _Part, after: int) -> int:
        (repeated,) = part.parts
        if part.most is None:
            loop = self._add(None, [after])
            self._states[loop].next.append(self._build(repeated, loop))
            after = loop
        for _ in range((part.most or part.least) - part.least):
            after = self._add(None, [after, self._build(repeated, after)])
        for _ in range(part.least):
            after = self._build(repeated, after)
        return after


def _parse(pattern: str) -> _Part:
    #: Of each open group: its alternatives, each a list of parts.
    groups: list[list[list[_Part]]] = [[[]]]
    last = ""
    for found in PARTS.finditer(pattern):
        kind, text = str(found.lastgroup), found[0]
        if kind in {"reference", "special"}:
            raise ValueError(f"{text} is not possible here: no references, assertions or flags")
        if kind in {"optional", "repeated"}:
            _quantify(groups[-1][-1], text, is_again=last in {"optional", "repeated"})
        elif kind == "open":
            groups.append([[]])
        elif kind == "close":
            choice = _choice(groups.pop())
            groups[-1][-1].append(choice)
        elif kind == "or":
            groups[-1].append([])
        else:
            groups[-1][-1].append(_Part(kind, test=re.compile(text, re.IGNORECASE)))
        last = kind
    return _choice(groups[0])


def _choice(alternatives: list[list[_Part]]) -> _Part:
    return _Part("choice", tuple(_Part("row", tuple(parts)) for parts in alternatives))


def _quantify(parts: list[_Part], text: str, *, is_again: bool) -> None:
    """Repeat the last part as often as a quantifier says."""
    if is_again:
        # After a repetition, "?" only says which length is tried first.
        if text != "?":
            raise ValueError(f"{text} is not possible here after a repetition")
        return
    least, most = _counts(text)
    parts.append(_Part("repeated", (parts.pop(),), least=least, most=most))


def _counts(text: str) -> tuple[int, int | None]:
    known: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
    if text in known:
        return known[text]
    least, comma, most = text[1:-1].partition(",")
    return int(least or 0), int(most) if most else None if comma else int(least)


def parts_of(pattern: str) -> Iterator[tuple[str, Any]]:
    """Yield the kinds and the texts of the parts of a valid pattern."""
    for found in PARTS.finditer(pattern):
        yield str(found.lastgroup), found[0]
