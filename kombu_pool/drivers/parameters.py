"""Parts of a store's URI that are given beside it, as Kombu takes them: each is honoured, or refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote, urlencode

from kombu_pool.drivers import load
from kombu_pool.drivers.masking import show
from kombu_pool.drivers.uri import StoreUri, parse
from kombu_pool.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

_HOST = re.compile(r"(?P<name>.*?)(?::(?P<port>\d+))?\Z", re.DOTALL)
#: Celery's names of the parameters.
_SETTINGS = {
    "userid": "broker_user",
    "password": "broker_password",
    "port": "broker_port",
    "virtual_host": "broker_vhost",
    "ssl": "broker_use_ssl",
}
#: The keys of ``ssl`` without their prefix ``ssl_``, which Kombu's Redis transport has.
TLS_KEYS = ("ca_certs", "certfile", "keyfile", "cert_reqs", "check_hostname")
_CERT_REQS = ("none", "optional", "required")


class Parameters(NamedTuple):
    """The parts, under Kombu's names; None: not given."""

    userid: str | None = None
    password: str | None = None
    port: int | None = None
    virtual_host: str | None = None
    ssl: Mapping[str, Any] | bool | None = None

    def __repr__(self) -> str:
        return f"Parameters({show(self._asdict())})"


class Conflict(Enum):
    """What applies where a URI and a parameter differ."""

    REFUSE = "a part that the URI lacks is added, another one is refused"
    REPLACE = "the parameter replaces the URI's part"
    URI_ONLY = "the URI must have each part itself"


@dataclass(frozen=True)
class Network:
    """How parameters become parts of the URIs of a driver whose stores are in the network: its ``NETWORK``."""

    #: Returns the URI's options for TLS; gets the values of ``ssl`` under the names in ``TLS_KEYS``.
    tls_options: Callable[[StoreUri, Mapping[str, Any]], Mapping[str, str]]
    #: Returns the virtual host of a URI (None without one), and the path and the options that a wanted one makes.
    virtual_host: Callable[[StoreUri, str], tuple[str | None, str, Mapping[str, str]]]


def path_is_virtual_host(uri: StoreUri, wanted: str) -> tuple[str | None, str, Mapping[str, str]]:
    """Return the path as the virtual host, as in most stores."""
    return uri.path[1:] or None, f"/{wanted}", {}


def complete(text: str, given: Parameters, conflict: Conflict = Conflict.REFUSE) -> str:
    """Return the URI with the parts that are given beside it.

    Raises:
        ConfigurationError: the store has no such part, or the URI has another one.
    """
    if not any(given):
        return text
    uri = parse(text)
    network: Network | None = getattr(load(uri.scheme), "NETWORK", None)
    if network is None:
        refuse(str(uri), {**given._asdict(), "virtual_host": None})
    return _Completion(uri, given, conflict).text(network)


def refuse(shown: str, given: Mapping[str, Any]) -> None:
    """Raise ConfigurationError if one of these parameters is given, which the store of the URI does not have."""
    names = [name for name, value in given.items() if value]
    if names:
        raise ConfigurationError(f"{shown} takes no {_listed(names)}: no server is asked for it. Remove it.")


def tls_values(uri: StoreUri, given: Mapping[str, Any] | bool) -> dict[str, Any]:
    """Return the values of ``ssl`` under the names in ``TLS_KEYS``; ``cert_reqs`` is none, optional or required.

    Raises:
        ConfigurationError: a key or a value is unknown.
    """
    values: dict[str, Any] = {}
    for key, value in (given if isinstance(given, Mapping) else {}).items():
        name = str(key).removeprefix("ssl_")
        if name not in TLS_KEYS:
            raise ConfigurationError(
                f"{uri}: the key {key!r} of ssl (in Celery: broker_use_ssl) is not supported; {', '.join(TLS_KEYS)} are"
            )
        # To redis-py, as to many users of Kombu's Redis transport, None means that nothing is checked.
        if value is not None or key == "ssl_cert_reqs":
            values[name] = _cert_reqs(uri, value) if name == "cert_reqs" else value
    return values


def _cert_reqs(uri: StoreUri, value: Any) -> str:
    number = int(value) if isinstance(value, int) else None
    name = "none" if value is None else str(value).lower().removeprefix("cert_")
    if number is not None and 0 <= number < len(_CERT_REQS):
        name = _CERT_REQS[number]
    if name not in _CERT_REQS:
        raise ConfigurationError(f"{uri}: cert_reqs of ssl must be one of {', '.join(_CERT_REQS)}, not {value!r}")
    return name


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"{name} (in Celery: {_SETTINGS[name]})" for name in names)


class _Completion:
    """Puts parameters into one URI."""

    def __init__(self, uri: StoreUri, given: Parameters, conflict: Conflict) -> None:
        self._uri = uri
        self._given = given
        self._conflict = conflict
        self._path = uri.path
        self._options = dict(uri.options)

    def text(self, network: Network | None) -> str:
        uri = self._uri
        authority = self._authority()
        if self._given.virtual_host:
            own, path, options = (network.virtual_host if network else path_is_virtual_host)(
                uri, self._given.virtual_host
            )
            if self._merged("virtual_host", own, self._given.virtual_host, alike=_without_slashes) != own:
                self._path = path
                self._options |= options
        if network is not None and self._given.ssl:
            self._add_tls(network.tls_options(uri, tls_values(uri, self._given.ssl)))
        query = f"?{urlencode(self._options, quote_via=quote)}" if self._options else ""
        return f"{uri.scheme}://{authority}{quote(self._path, safe='/')}{query}"

    def _authority(self) -> str:
        credentials, _, hosts = self._uri.authority.rpartition("@")
        user, _, password = credentials.partition(":")
        userid = self._merged("userid", unquote(user) or None, self._given.userid)
        secret = self._merged("password", unquote(password) or None, self._given.password)
        login = quote(userid or "", safe="") + (f":{quote(secret, safe='')}" if secret else "")
        return (f"{login}@" if login else "") + ",".join(self._host(host) for host in hosts.split(","))

    def _host(self, host: str) -> str:
        if not self._given.port:
            return host
        found = _HOST.match(host) if not host.endswith("]") else None
        name, own = (found["name"], found["port"]) if found else (host, None)
        if not str(self._given.port).isdigit():
            raise ConfigurationError(f"{self._uri}: {_listed(['port'])} must be a number, not {self._given.port!r}")
        port = self._merged("port", own and int(own), int(self._given.port))
        return f"{name or 'localhost'}:{port}"

    def _add_tls(self, options: Mapping[str, str]) -> None:
        lower = {name.lower(): name for name in self._options}
        for name, value in options.items():
            known = lower.get(name.lower(), name)
            own = self._options.get(known)
            if own is not None and own.lower() != value.lower() and self._conflict is not Conflict.REPLACE:
                raise ConfigurationError(f"{self._uri} and {_listed(['ssl'])} differ in {name}: give one of them")
            self._options[known] = value

    def _merged(self, name: str, own: Any, wanted: Any, alike: Callable[[Any], Any] = lambda value: value) -> Any:
        if not wanted or (own and alike(own) == alike(wanted)):
            return own
        if self._conflict is Conflict.URI_ONLY:
            raise ConfigurationError(
                f"{self._uri} is one of several broker URLs, each of which must name its own parts: write it into the "
                f"URLs instead of {_listed([name])}"
            )
        if own and self._conflict is Conflict.REFUSE:
            raise ConfigurationError(f"{self._uri} and {_listed([name])} differ: give one of them")
        return wanted


def _without_slashes(path: str) -> str:
    return path.strip("/")
