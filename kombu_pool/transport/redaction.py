"""Texts that read as if they held no password, and are whole for who opens, compares, copies or pickles them.

Kombu keeps the URL of a transport that reads URLs itself, and its options, as they were given: for connecting, for
clones and pools of connections, and for whoever asks what a connection is, as Celery's ``inspect stats`` does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.uri import MASK, mask
from kombu_pool.transport.options import is_ours, unquote_alternate

if TYPE_CHECKING:
    from kombu import Connection
    from typing_extensions import Self

_SECRET = re.compile("password|secret|token", re.IGNORECASE)
_PREFIX = "pool+"


class Masked(str):
    """A text to show, which stands for the one in ``whole``."""

    __slots__ = ("whole",)
    whole: str

    def __new__(cls, whole: str, shown: str) -> Self:
        self = super().__new__(cls, shown)
        self.whole = whole
        return self

    # Kombu finds a pool of connections by what they were given, or by what they have become.

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and _bare(self) == _bare(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(_bare(self))

    def __reduce__(self) -> tuple[type[Masked], tuple[str, str]]:
        return Masked, (self.whole, str(self))

    def split(self, sep: Any = None, maxsplit: Any = -1) -> list[str]:
        """Split the whole: Kombu parts ``pool`` from ``redis://...`` so."""
        return [hide(part) for part in self.whole.split(sep, maxsplit)]


def _bare(text: str) -> str:
    """Return a URL as Kombu keeps it; it is made whole again only where it is hidden."""
    return str(reveal(text)).removeprefix(_PREFIX)


class MaskedOptions(dict[str, Any]):
    """Transport options whose passwords are hidden. Kombu compares connections by their representation."""

    def __repr__(self) -> str:
        return Masked(repr(reveal(dict(self))), super().__repr__())


def hide(value: Any, *, secret: bool = False) -> Any:
    """Return ``value``, a text or what holds texts, with each password in it masked; all of a text that is a secret."""
    if isinstance(value, dict):
        return {name: hide(item, secret=bool(_SECRET.search(str(name)))) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return _like(value, [hide(item) for item in value])
    if not isinstance(value, str) or isinstance(value, Masked):
        return value
    shown = MASK if secret else mask(value)
    return value if shown == value else Masked(value, shown)


def reveal(value: Any) -> Any:
    """Undo :func:`hide`."""
    if isinstance(value, Masked):
        return value.whole
    if isinstance(value, dict):
        return {name: reveal(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return _like(value, [reveal(item) for item in value])
    return value


def conceal(client: Connection) -> None:
    """Let a connection of Kombu show no password, neither of its own URL nor of the others that it may fail over to."""
    whole = reveal(client.hostname or "")
    url = unquote_alternate(whole)
    if client.uri_prefix and not is_ours(url):
        # Kombu would join the two to a text that is masked, and stands for nothing.
        url = f"{client.uri_prefix}+{url}"
    shown = hide(url)
    if isinstance(shown, Masked) or whole != unquote_alternate(whole):
        client.hostname, client.uri_prefix = shown, None
    if client.alt and all(is_ours(url) for url in client.alt):
        client.alt = hide(client.alt)
    options = hide(client.transport_options)
    if repr(options) != repr(client.transport_options):
        client.transport_options = MaskedOptions(options)


def _like(value: list[Any] | tuple[Any, ...], items: list[Any]) -> list[Any] | tuple[Any, ...]:
    return items if isinstance(value, list) else tuple(items)
