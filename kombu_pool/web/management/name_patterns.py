"""Regular expressions for names whose time is bounded: one search holds up all threads of the server while it goes on.

A repetition within another one, or many in a row, may take years over a name of 60 characters.
"""

from __future__ import annotations

import re

from kombu_pool.clock import SYSTEM_CLOCK

#: Bound of a pattern, in characters.
MAX_LENGTH = 500
#: Bound of the ways in which a pattern may match a name from one place on: those of three repetitions.
_MAX_WAYS = 64**3
#: What a repetition multiplies the ways by: the characters of a long name; and what an optional part does.
_REPEATED, _OPTIONAL = 64, 2
#: Longest time for the names of one list, in seconds.
_MAX_SECONDS = 1.0
#: The parts of a pattern: what stands for one character, a group, an alternative, and how often a part is there.
_PARTS = re.compile(
    r"(?P<reference>\\[1-9])|(?P<character>\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(?!\d*,?\d*\})|[^()|?*+{\\\[])"
    r"|(?P<special>\(\?(?!:))|(?P<open>\((?:\?:)?)|(?P<close>\))|(?P<or>\|)"
    r"|(?P<optional>\?)|(?P<repeated>[*+]|\{\d*,?\d*\})",
    re.DOTALL,
)


class NamePattern:
    """A pattern that is looked for in names, whatever their case; with ``is_regex`` a regular expression.

    A regular expression may repeat single characters, three times; a group is not repeated, and there are neither
    references nor assertions.

    Raises:
        ValueError: it is too long, or may take long.
        re.error: it is no regular expression.
    """

    def __init__(self, pattern: str, *, is_regex: bool) -> None:
        if len(pattern) > MAX_LENGTH:
            raise ValueError(f"a name may have {MAX_LENGTH} characters at most")
        self._pattern = re.compile(pattern if is_regex else re.escape(pattern), re.IGNORECASE)
        if is_regex and _ways(pattern) > _MAX_WAYS:
            raise ValueError("the pattern may take long: it may repeat characters at three places, with few options")
        self._seconds = 0.0

    def is_in(self, name: str) -> bool:
        """Return whether a name matches.

        Raises:
            ValueError: the names of this list took too long.
        """
        begun = SYSTEM_CLOCK.elapsed()
        found = self._pattern.search(name) is not None
        self._seconds += SYSTEM_CLOCK.elapsed() - begun
        if self._seconds > _MAX_SECONDS:
            raise ValueError(
                f"the pattern takes longer than {_MAX_SECONDS:g} s over the names: repeat fewer characters"
            )
        return found


def _ways(pattern: str) -> int:
    """Return a bound of the ways in which a valid regular expression may match from one place on.

    Raises:
        ValueError: it has what no bound is known for.
    """
    #: Of each open group: the ways of its alternatives before, and of this one.
    groups, last = [(0, 1)], ""
    for found in _PARTS.finditer(pattern):
        kind = str(found.lastgroup)
        if kind in {"reference", "special"}:
            raise ValueError(f"{found[0]} is not possible here: no references, assertions or flags")
        if kind == "repeated" and last == "close":
            raise ValueError("a group cannot be repeated here: it may take long")
        # After a repetition, "?" only says which length is tried first.
        if not (kind == "optional" and last in {"repeated", "optional"}):
            groups = _with_part(groups, kind)
        last = kind
    before, ways = groups[0]
    return before + ways


def _with_part(groups: list[tuple[int, int]], kind: str) -> list[tuple[int, int]]:
    *outer, (before, ways) = groups
    if kind == "open":
        return [*groups, (0, 1)]
    if kind == "close":
        *outer, (outer_before, outer_ways) = outer
        return [*outer, (outer_before, outer_ways * (before + ways))]
    if kind == "or":
        return [*outer, (before + ways, 1)]
    factor = {"optional": _OPTIONAL, "repeated": _REPEATED}.get(kind, 1)
    return [*outer, (before, ways * factor)]
