"""Parsing of a store's URI, the same for every driver."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from kombu_pool.drivers.masking import mask_uri, remember
from kombu_pool.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>[^?#]*)(?:\?(?P<query>.*))?\Z", re.DOTALL)


@dataclass(frozen=True)
class StoreUri:
    """A store's URI: ``scheme://authority/path?options``; ``text`` is the whole, unchanged."""

    text: str = field(repr=False)
    scheme: str
    authority: str = field(repr=False)
    path: str
    options: Mapping[str, str] = field(repr=False)

    def __str__(self) -> str:
        return mask_uri(self.text)


def parse(text: str) -> StoreUri:
    """Parse a store's URI.

    Raises:
        ConfigurationError: the text is no URI, or repeats an option.
    """
    remember(text)
    found = _URI.match(text)
    if found is None:
        raise ConfigurationError(f"{mask_uri(text)!r} is not the URI of a store; example: sqlite:////var/lib/pool.db")
    authority, slash, path = found["rest"].partition("/")
    options: dict[str, str] = {}
    for name, value in parse_qsl(found["query"] or "", keep_blank_values=True):
        if name in options:
            raise ConfigurationError(f"{mask_uri(text)!r} names the option {name!r} twice")
        options[name] = value
    return StoreUri(text, found["scheme"].lower(), authority, slash + unquote(path), options)


def names_address(text: str, address: str) -> bool:
    """Return whether a text that begins with a URI names ``HOST:PORT``, if only by the host and a default port."""
    host, _, port = address.rpartition(":")
    return re.search(rf"(?<![\w.-])\[?{re.escape(host)}\]?(?::{re.escape(port)})?(?![\w.:-])", text) is not None
