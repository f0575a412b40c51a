"""One reading of a store's URI for every driver, and one way to show it without its password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from kombu_pool.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>[^?#]*)(?:\?(?P<query>.*))?\Z", re.DOTALL)
# To the last @: a password with a slash in it, which should have been quoted, is one all the same.
_PASSWORD = re.compile(r"(?<=://)([^/?#@:]*):([^\s;]*)@")
_SECRET_OPTION = re.compile(r"([?&;][^=&;]*(?:password|secret|token)[^=&;]*=)[^&;]*", re.IGNORECASE)
MASK = "**"


@dataclass(frozen=True)
class StoreUri:
    """A store's URI: ``scheme://authority/path?options``; ``text`` is the whole as it was given."""

    text: str = field(repr=False)
    scheme: str
    authority: str = field(repr=False)
    path: str
    options: Mapping[str, str] = field(repr=False)

    def __str__(self) -> str:
        return mask(self.text)


def parse(text: str) -> StoreUri:
    """Read a store's URI.

    Raises:
        ConfigurationError: it is none.
    """
    found = _URI.match(text)
    if found is None:
        raise ConfigurationError(f"{mask(text)!r} is not the URI of a store; one looks like sqlite:////var/lib/pool.db")
    authority, slash, path = found["rest"].partition("/")
    options: dict[str, str] = {}
    for name, value in parse_qsl(found["query"] or "", keep_blank_values=True):
        if name in options:
            raise ConfigurationError(f"{mask(text)!r} names the option {name!r} twice")
        options[name] = value
    return StoreUri(text, found["scheme"].lower(), authority, slash + unquote(path), options)


def mask(text: str) -> str:
    """Return a URI, or a text with URIs in it, with every password hidden."""
    return _SECRET_OPTION.sub(rf"\g<1>{MASK}", _PASSWORD.sub(rf"\g<1>:{MASK}@", text))
