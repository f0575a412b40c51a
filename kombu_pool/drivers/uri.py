"""Parsing of a store's URI, the same for every driver, and its text without passwords."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from kombu_pool.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>[^?#]*)(?:\?(?P<query>.*))?\Z", re.DOTALL)
# Up to the last @: an unquoted password may hold a slash.
_PASSWORD = re.compile(r"(?<=://)([^/?#@:]*):([^\s;]*)@")
_SECRET_OPTION = re.compile(r"([?&;][^=&;]*(?:password|secret|token)[^=&;]*=)[^&;]*", re.IGNORECASE)
MASK = "**"


@dataclass(frozen=True)
class StoreUri:
    """A store's URI: ``scheme://authority/path?options``; ``text`` is the whole, unchanged."""

    text: str = field(repr=False)
    scheme: str
    authority: str = field(repr=False)
    path: str
    options: Mapping[str, str] = field(repr=False)

    def __str__(self) -> str:
        return mask(self.text)


def parse(text: str) -> StoreUri:
    """Parse a store's URI.

    Raises:
        ConfigurationError: the text is no URI, or repeats an option.
    """
    found = _URI.match(text)
    if found is None:
        raise ConfigurationError(f"{mask(text)!r} is not the URI of a store; example: sqlite:////var/lib/pool.db")
    authority, slash, path = found["rest"].partition("/")
    options: dict[str, str] = {}
    for name, value in parse_qsl(found["query"] or "", keep_blank_values=True):
        if name in options:
            raise ConfigurationError(f"{mask(text)!r} names the option {name!r} twice")
        options[name] = value
    return StoreUri(text, found["scheme"].lower(), authority, slash + unquote(path), options)


def mask(text: str) -> str:
    """Return a URI, or a text that holds URIs, with every password masked."""
    return _SECRET_OPTION.sub(rf"\g<1>{MASK}", _PASSWORD.sub(rf"\g<1>:{MASK}@", text))


def names_address(text: str, address: str) -> bool:
    """Return whether a text that begins with a URI names ``HOST:PORT``, if only by the host and a default port."""
    host, _, port = address.rpartition(":")
    return re.search(rf"(?<![\w.-])\[?{re.escape(host)}\]?(?::{re.escape(port)})?(?![\w.:-])", text) is not None
