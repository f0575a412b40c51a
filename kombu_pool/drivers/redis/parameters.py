"""Parameters of Kombu's as parts of a Redis URI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.parameters import Network, path_is_virtual_host, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.drivers.uri import StoreUri


def _tls_options(uri: StoreUri, values: Mapping[str, Any]) -> Mapping[str, str]:
    if uri.scheme == "redis+socket":
        refuse(str(uri), {"ssl": True})
    return {"ssl": "true", **{f"ssl_{name}": _to_text(value) for name, value in values.items()}}


def _to_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _virtual_host(uri: StoreUri, wanted: str) -> tuple[str | None, str, Mapping[str, str]]:
    """The virtual host is the database; behind Sentinel the path names the master first, and a socket's is a file."""
    number = wanted.strip("/")
    if uri.scheme == "redis+socket":
        return uri.options.get("db"), uri.path, {"db": number}
    if uri.scheme in {"redis+sentinel", "rediss+sentinel"} and number.isdigit():
        service, _, own = uri.path.strip("/").partition("/")
        return own or None, f"/{service}/{number}", {}
    return path_is_virtual_host(uri, number)


NETWORK = Network(_tls_options, _virtual_host)
