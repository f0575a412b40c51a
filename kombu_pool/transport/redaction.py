"""Texts that show no password, and are complete for connecting, comparing, copying and pickling.

Kombu keeps the URL of a transport that parses URLs itself, and its options, as they were given: for connecting, for
clones and pools of connections, and for descriptions of a connection such as Celery's ``inspect stats``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.masking import MASK, is_secret_name, mask_text, mask_uri
from kombu_pool.transport.options import is_ours

if TYPE_CHECKING:
    from kombu import Connection
    from typing_extensions import Self

_PREFIX = "pool+"


class Redacted(str):
    """A text to show in place of the one in ``whole``; ``transport`` is Kombu's name for the transport of a URL."""

    __slots__ = ("transport", "whole")
    whole: Any
    transport: str

    def __new__(cls, whole: Any, shown: str, transport: str = "pool") -> Self:
        self = super().__new__(cls, shown)
        self.whole = whole
        self.transport = transport
        return self

    # Kombu looks a pool of connections up by the original URL or by the redacted one.

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and _bare(self) == _bare(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(_bare(self))

    def __reduce__(self) -> tuple[type[Redacted], tuple[Any, str, str]]:
        return Redacted, (self.whole, str(self), self.transport)

    def split(self, sep: Any = None, maxsplit: Any = -1) -> list[str]:
        """Split the whole text, as Kombu does to part ``pool`` from ``redis://...``."""
        parts = self.whole.split(sep, maxsplit)
        marked = [Redacted(part, mask_uri(part)) if "://" in part else part for part in parts]
        return [self.transport, *marked[1:]] if sep == "+" else marked


def _bare(text: str) -> str:
    """Return the unredacted URL in the form in which Kombu keeps it."""
    return str(unredact(text)).removeprefix(_PREFIX)


class RedactedOptions(dict[str, Any]):
    """Transport options that show no password. Kombu compares connections by their representation."""

    def __repr__(self) -> str:
        return Redacted(repr(unredact(dict(self))), super().__repr__())


def redact(value: Any, *, secret: bool = False) -> Any:
    """Return a text, or a container of texts, with each password masked; with ``secret``, each value as a whole."""
    if isinstance(value, dict):
        return {name: redact(item, secret=secret or is_secret_name(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return _like(value, [redact(item, secret=secret) for item in value])
    if isinstance(value, Redacted):
        return value
    if secret and isinstance(value, str | bytes | int | float) and not isinstance(value, bool):
        return Redacted(value, MASK)
    shown = mask_text(value) if isinstance(value, str) else value
    return value if shown == value else Redacted(value, shown)


def unredact(value: Any) -> Any:
    """Return the original of a redacted value."""
    if isinstance(value, Redacted):
        return value.whole
    if isinstance(value, dict):
        return {name: unredact(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return _like(value, [unredact(item) for item in value])
    return value


def redact_connection(client: Connection) -> None:
    """Redact a Kombu connection's own URL, its password, its failover URLs and its transport options.

    Its URL becomes a :class:`Redacted` in any case, which tells a copy of the connection from one that a program makes.
    """
    url = unredact(client.hostname or "")
    if "://" in url:
        if client.uri_prefix and not is_ours(url):
            # Kombu would join the two to a text that has no unredacted original.
            url = f"{_PREFIX}{url}"
        name = client.transport_cls
        transport = name if isinstance(name, str) and is_ours(f"{name}://") else "pool"
        client.hostname, client.uri_prefix = Redacted(url, mask_uri(url), transport), None
    client.password = redact(client.password, secret=True)
    if client.alt and all(is_ours(url) for url in client.alt):
        client.alt = redact(client.alt)
    options = redact(client.transport_options)
    if repr(options) != repr(client.transport_options):
        client.transport_options = RedactedOptions(options)


def _like(value: list[Any] | tuple[Any, ...], items: list[Any]) -> list[Any] | tuple[Any, ...]:
    return items if isinstance(value, list) else tuple(items)
