"""Texts without passwords: a URI is parsed; in any other text, the URIs that this process has parsed are looked for."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

MASK = "**"
#: Bound of the URIs with passwords that a process remembers.
_MAX_KNOWN = 1000
_IS_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SECRET = re.compile("password|passwd|secret|token|credential", re.IGNORECASE)
#: What a URI ends with that no process has parsed: an unquoted password may hold a slash, but no blank.
_PASSWORD = re.compile(r"(?<=://)([^/?#@:\s]*):([^\s;]*)@")
_SECRET_OPTION = re.compile(
    r"([?&;][^=&;\s]*(?:password|passwd|secret|token|credential)[^=&;\s]*=)[^&;\s]*", re.IGNORECASE
)
_SECRET_PROPERTY = re.compile(r"\b([A-Z_]*(?:PASSWORD|SECRET|TOKEN)[A-Z_]*:)[^,&;\s]+")
_known: dict[str, str] = {}


def remember(uri: str) -> None:
    """Keep a URI, so that :func:`mask` finds it in a text, whatever its password holds."""
    masked = mask_uri(uri)
    if masked != uri and uri not in _known:
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        _known[uri] = masked


def mask_uri(uri: str) -> str:
    """Return one whole URI with its password, and the values of secret options, masked."""
    if not _IS_URI.match(uri):
        return mask(uri)
    scheme, _, rest = uri.partition("://")
    before, mark, query = _without_password(rest).partition("?")
    options = "&".join(_mask_option(option) for option in query.split("&"))
    return f"{scheme}://{before}{mark}{options}"


def _without_password(rest: str) -> str:
    user, colon, tail = rest.partition(":")
    if not colon or "@" not in tail or set("/?#@") & set(user):
        return rest
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    path = rest[len(authority) :].partition("?")[0]
    if "@" in authority and "@" not in path:
        return f"{user}:{MASK}@{authority.rpartition('@')[2]}{rest[len(authority) :]}"
    # The password is not quoted: it ends with the last @.
    return f"{user}:{MASK}@{tail.rpartition('@')[2]}"


def _mask_option(option: str) -> str:
    name, equals, value = option.partition("=")
    is_secret = is_secret_name(unquote(name)) or _SECRET.search(unquote(value))
    return f"{name}={MASK}" if equals and is_secret else option


def mask(text: str) -> str:
    """Return any text, as that of an error, with the password of each URI in it masked."""
    for uri in sorted(_known, key=len, reverse=True):
        text = text.replace(uri, _known[uri])
    masked = _SECRET_OPTION.sub(rf"\g<1>{MASK}", _PASSWORD.sub(rf"\g<1>:{MASK}@", text))
    return _SECRET_PROPERTY.sub(rf"\g<1>{MASK}", masked)


def mask_text(text: str) -> str:
    """Return a text that may be a URI with the passwords in it masked."""
    return mask_uri(text) if _IS_URI.match(text) else mask(text)


def is_secret_name(name: object) -> bool:
    """Return whether a name is that of a password or the like."""
    return _SECRET.search(str(name)) is not None


def show(value: Any) -> str:
    """Return the representation of a value that a user gave, with every password in it masked."""
    return repr(_shown(value, is_secret=False))


def _shown(value: Any, *, is_secret: bool) -> Any:
    if isinstance(value, dict):
        return {name: _shown(item, is_secret=is_secret or is_secret_name(name)) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(item, is_secret=is_secret) for item in value]
    if is_secret and value is not None and not isinstance(value, bool):
        return MASK
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return mask_text(value) if isinstance(value, str) else value
