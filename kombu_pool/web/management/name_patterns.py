"""Patterns for names whose time is bounded: one search holds up all threads of the server while it goes on."""

from __future__ import annotations

import re

from kombu_pool.clock import SYSTEM_CLOCK
from kombu_pool.web.management.linear_regex import LinearPattern, parts_of

#: Bound of a pattern, in characters.
MAX_LENGTH = 500
#: Bound of the steps of a search with Python's engine, which is fast where there are few ways to match.
_MAX_STEPS = 50_000
#: Longest time for the names of one list, in seconds.
_MAX_SECONDS = 1.0


class NamePattern:
    """A pattern that is looked for in names, whatever their case; with ``is_regex`` a regular expression.

    Raises:
        ValueError: it is too long, or has a reference, a lookaround or a flag.
        re.error: it is no regular expression.
    """

    def __init__(self, pattern: str, *, is_regex: bool) -> None:
        if len(pattern) > MAX_LENGTH:
            raise ValueError(f"a name may have {MAX_LENGTH} characters at most")
        self._pattern = re.compile(pattern if is_regex else re.escape(pattern), re.IGNORECASE)
        self._linear = LinearPattern(pattern) if is_regex else None
        self._repetitions = _repetitions(pattern) if is_regex else 0
        self._seconds, self._begun = 0.0, 0.0

    def is_in(self, name: str) -> bool:
        """Return whether a name matches.

        Raises:
            ValueError: the names of this list took too long.
        """
        self._begun = SYSTEM_CLOCK.elapsed()
        if self._linear is None or self._is_quick(name):
            found = self._pattern.search(name) is not None
        else:
            found = self._linear.search(name, self._check)
        self._check()
        self._seconds += SYSTEM_CLOCK.elapsed() - self._begun
        return found

    def _is_quick(self, name: str) -> bool:
        """Return whether Python's engine needs few steps: from each place on, it tries each length of a repetition."""
        return self._repetitions is not None and (len(name) + 1) ** (self._repetitions + 1) <= _MAX_STEPS

    def _check(self) -> None:
        if self._seconds + SYSTEM_CLOCK.elapsed() - self._begun > _MAX_SECONDS:
            raise ValueError(f"the pattern takes longer than {_MAX_SECONDS:g} s over the names: make it simpler")


def _repetitions(pattern: str) -> int | None:
    """Return how many characters of a pattern are repeated; None if a group is, or what makes as many ways.

    An optional part, or an alternative, doubles the ways at most, as does a repetition of a name of one character.
    """
    count, last = 0, ""
    for kind, _ in parts_of(pattern):
        if kind in {"repeated", "optional"} and last == "close":
            return None
        if kind in {"repeated", "or"} or (kind == "optional" and last not in {"repeated", "optional"}):
            count += 1
        last = kind
    return count
