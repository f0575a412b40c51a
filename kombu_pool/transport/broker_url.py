"""The broker URL of a Kombu connection, with the parts that are given beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.masking import mask_uri
from kombu_pool.drivers.parameters import Conflict, Parameters, complete, refuse
from kombu_pool.errors import ConfigurationError
from kombu_pool.transport.options import is_ours
from kombu_pool.transport.redaction import unredact

if TYPE_CHECKING:
    from kombu import Connection

#: Stands for a password that is not asked for.
_UNASKED = "unasked"


def whole(client: Connection, hostname: str | None, conflict: Conflict, *, with_password: bool = True) -> str:
    """Return the whole broker URL without ``pool+``; Kombu keeps its parts, or the URL and parts that it got beside it.

    A password that is a function is called for, unless it is not needed.

    Raises:
        ConfigurationError: the store has no such part, or the URL has another one.
    """
    text = str(unredact(hostname or ""))
    given = _given(client, with_password=with_password)
    if "://" not in text:
        name = client.transport_cls if is_ours(f"{client.transport_cls}://") else "pool"
        scheme = name.removeprefix("pool+")
        text = f"{scheme}://{_host(text, scheme)}"
    elif client.alt:
        conflict = Conflict.URI_ONLY
        given = given._replace(ssl=given.ssl if not _is_local(text) else None)
    return _complete(text.removeprefix("pool+"), given, conflict)


def is_refused(client: Connection) -> bool:
    """Return whether the store has no part that is given beside the URL of a connection, or the URL has another one."""
    try:
        whole(client, client.hostname, Conflict.REFUSE, with_password=False)
    except ConfigurationError:
        return True
    return False


def _host(text: str, scheme: str) -> str:
    if scheme in {"pool", "sqlite"} and text == "localhost":
        return ""
    return f"[{text}]" if text.count(":") > 1 and not {"[", ","} & set(text) else text


def _given(client: Connection, *, with_password: bool) -> Parameters:
    password = unredact(client.password)
    if callable(password):
        password = password() if with_password else _UNASKED
    virtual_host = None if client.virtual_host == "/" else client.virtual_host
    return Parameters(client.userid or None, password or None, client.port or None, virtual_host or None, client.ssl)


def _is_local(url: str) -> bool:
    """Return whether the URL is one of a file or of this process, whatever it is to an alternate."""
    return url.removeprefix("pool+").partition("://")[0] in {"pool", "sqlite", "memory", "conf"}


def _complete(url: str, given: Parameters, conflict: Conflict) -> str:
    scheme, _, rest = url.partition("://")
    if scheme not in {"pool", "conf"} or not any(given):
        return complete(url, given, conflict)
    refuse(mask_uri(url), given._asdict() if scheme == "conf" else {**given._asdict(), "virtual_host": None})
    # It has the form of a file's URI.
    return "pool" + complete(f"sqlite://{rest}", given, conflict).removeprefix("sqlite")
