"""Failover URLs: Kombu parses the one in use, and hands parts of the first one on; its own text is the whole truth."""

from __future__ import annotations

import inspect
import weakref
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kombu.transport import TRANSPORT_ALIASES
from kombu.utils.url import parse_url

from kombu_pool.drivers.masking import mask_uri
from kombu_pool.errors import ConfigurationError
from kombu_pool.transport.options import is_ours
from kombu_pool.transport.redaction import unredact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu import Connection

#: The beginning of a virtual host that is a whole URL.
_QUOTED = "pool:quoted:"
_ANY = object()


class FailoverUrls:
    """Kombu's failover URLs; those of pools in a form that survives ``Connection.switch``.

    Parsing would lose parts of a pool's URL, and raise for any query.
    """

    def __init__(self, client: Connection) -> None:
        self._client = weakref.ref(client)
        self._urls: Iterator[str] = client.cycle

    def __iter__(self) -> FailoverUrls:
        return self

    def __next__(self) -> str:
        url = str(unredact(next(self._urls)))
        client = self._client()
        if client is not None:
            # Kombu keeps them for a URL that has none.
            client.port, client.virtual_host = None, "/"
        return f"pool:///{_QUOTED}{quote(url, safe='')}" if is_ours(url) else url


def restore(client: Connection) -> None:
    """Give a connection that Kombu switched to one of our URLs the whole URL, with its own port and nothing else."""
    url: str | None
    virtual_host = client.virtual_host or ""
    if virtual_host.startswith(_QUOTED):
        url = virtual_host.removeprefix(_QUOTED)
        scheme = url.partition("://")[0]
        client.transport_cls = scheme if scheme in TRANSPORT_ALIASES else client.transport_cls
    elif client.alt and "://" not in (client.hostname or ""):
        url = _in_use(client)
    else:
        return
    if not url:
        return
    client.hostname, client.uri_prefix = url, None
    client.userid = client.password = None
    client.virtual_host, client.port = "/", port_of(url)
    if _has_tls_options(str(unredact(client.alt[0]))):
        client.ssl = False


def port_of(url: str) -> int | None:
    """Return the port in a URL with one host; None without one."""
    authority = url.partition("://")[2].partition("?")[0].partition("/")[0]
    port = authority.rpartition("@")[2].rpartition(":")[2]
    return int(port) if port.isdigit() and "," not in authority else None


def check_alternates(client: Connection) -> None:
    """Check that Kombu can switch to the failover URLs of other transports.

    Raises:
        ConfigurationError: one has a query with options that ``Connection`` does not take.
    """
    known = inspect.signature(type(client)._init_params).parameters  # noqa: SLF001 - no other list of them
    for url in map(str, map(unredact, client.alt or ())):
        if not is_ours(url) and "?" in url and not parse_url(url).keys() <= known.keys():
            plain = mask_uri(url.partition("?")[0])
            raise ConfigurationError(f"Kombu cannot fail over to {mask_uri(url)}, because of its query: write {plain}")


def _in_use(client: Connection) -> str | None:
    """Return the failover URL whose parts the connection has. Those that a URL lacks may be those of another one."""
    ours = [url for url in map(str, map(unredact, client.alt)) if is_ours(url)]
    parsed = [(_parsed(url), url) for url in ours]
    matching = [(parts, url) for parts, url in parsed if parts and all(_has(client, *part) for part in parts.items())]
    # The most specific one: its own port and virtual host, not those of another URL.
    matching.sort(key=lambda found: -sum(found[0].get(name) is not None for name in ("port", "virtual_host")))
    return matching[0][1] if matching else None


def _has(client: Connection, name: str, value: Any) -> bool:
    if name == "transport":
        return bool(client.transport_cls == value)
    if name in {"port", "virtual_host"} and value is None:
        return True
    return bool(unredact(getattr(client, name, _ANY)) == value)


def _parsed(url: str) -> Mapping[str, Any] | None:
    try:
        return dict(parse_url(url))
    except ValueError:
        return None  # several hosts with ports: Kombu could not switch to it


def _has_tls_options(url: str) -> bool:
    return not is_ours(url) and "ssl_" in url.partition("?")[2]
