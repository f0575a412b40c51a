"""One option of a store or a connection: its name, the values that it may have, its default and its help text.

It has the attributes of an ``oslo_config.cfg.Opt`` that :func:`kombu_pool.conf.options` reads, and loads none of it: a
producer starts without oslo.config, unless it names a configuration file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TRUE, _FALSE = ("true", "1", "on", "yes"), ("false", "0", "off", "no")


@dataclass(frozen=True)
class Option:
    """An option; ``dest`` is its name, ``secret`` whether its value is masked where it is shown."""

    dest: str
    type: Callable[[Any], Any]
    default: Any = None
    help: str = ""
    secret: bool = False


@dataclass(frozen=True)
class Boolean:
    """True or False, also as the words of a configuration file."""

    def __call__(self, value: Any) -> bool:
        """Return the value; raises ValueError."""
        word = str(value).strip().lower()
        if word not in (*_TRUE, *_FALSE):
            raise ValueError(f"must be one of {', '.join((*_TRUE, *_FALSE))}")
        return word in _TRUE


@dataclass(frozen=True)
class Number:
    """A number, also as a text, within inclusive bounds."""

    kind: type[int | float]
    min: float | None = None
    max: float | None = None

    def __call__(self, value: Any) -> float:
        """Return the value; raises ValueError."""
        try:
            number = value if type(value) is self.kind else self.kind(str(value).strip())
        except ValueError:
            raise ValueError("must be a whole number" if self.kind is int else "must be a number") from None
        # Not "number < min": a NaN is within no bounds.
        if self.min is not None and not number >= self.min:
            raise ValueError(f"must be greater than or equal to {self.min}")
        if self.max is not None and not number <= self.max:
            raise ValueError(f"must be less than or equal to {self.max}")
        return number


@dataclass(frozen=True)
class Text:
    """A text: any, one that a regular expression is found in, or one of the choices, each with its description."""

    regex: str | None = None
    choices: Sequence[tuple[str, str]] = ()
    ignore_case: bool = False

    def __call__(self, value: Any) -> str:
        """Return the value, or the choice that it means; raises ValueError."""
        text = str(value)
        if self.regex is not None and not re.search(self.regex, text):
            raise ValueError(f"must match the regular expression {self.regex}")
        if not self.choices:
            return text
        for choice, _ in self.choices:
            if choice == text or (self.ignore_case and choice.lower() == text.lower()):
                return choice
        raise ValueError(f"must be one of {', '.join(choice for choice, _ in self.choices)}")


@dataclass(frozen=True)
class Pairs:
    """A mapping of texts, also written as ``key:value,key:value``."""

    def __call__(self, value: Any) -> dict[str, str]:
        """Return the mapping; raises ValueError."""
        if isinstance(value, dict):
            return value
        pairs = [pair.partition(":") for pair in str(value).split(",") if pair.strip()]
        if not all(colon for _, colon, _ in pairs):
            raise ValueError("must be key:value pairs with commas between them")
        return {key.strip(): end.strip() for key, _, end in pairs}


@dataclass(frozen=True)
class Addresses:
    """Pairs of addresses, as a mapping or as ``ANNOUNCED=REACHABLE,...``."""

    def __call__(self, value: Any) -> dict[str, str]:
        """Return the mapping; raises ValueError."""
        if isinstance(value, str):
            value = dict(pair.partition("=")[::2] for pair in value.split(",") if pair.strip())
        if not isinstance(value, dict) or not all(isinstance(end, str) and end for one in value.items() for end in one):
            raise ValueError("write announced=reachable, each as HOST or HOST:PORT, with commas between the pairs")
        return {announced.strip(): reachable.strip() for announced, reachable in value.items()}

    @staticmethod
    def written(value: dict[str, str]) -> str:
        """Return a mapping as a text that means it."""
        return ",".join(f"{announced}={reachable}" for announced, reachable in value.items())


def boolean(dest: str, *, default: bool, help: str) -> Option:
    """Return an option that is on or off."""
    return Option(dest, Boolean(), default, help)


def integer(
    dest: str, default: int | None = None, *, help: str, min: int | None = None, max: int | None = None
) -> Option:
    """Return an option that is a whole number."""
    return Option(dest, Number(int, min, max), default, help)


def seconds(dest: str, default: float, *, help: str, min: float, max: float) -> Option:
    """Return an option that is a duration, in seconds."""
    return Option(dest, Number(float, min, max), default, help)


def text(dest: str, default: str | None = None, *, help: str, regex: str | None = None, secret: bool = False) -> Option:
    """Return an option that is a text."""
    return Option(dest, Text(regex), default, help, secret)


def choice(
    dest: str, default: str, choices: Sequence[tuple[str, str]], *, help: str, ignore_case: bool = False
) -> Option:
    """Return an option that is one of some texts."""
    return Option(dest, Text(None, choices, ignore_case), default, help)
