"""The location of a store, and its settings, from a URI and options."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from kombu_pool import conf as settings
from kombu_pool.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.drivers.uri import StoreUri

Address = tuple[str, int]
PORT: Final = 6379
SENTINEL_PORT: Final = 26379
#: The scheme of the location of one node of a cluster.
CLUSTER_NODE: Final = "redis+cluster-node"
_HOST = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<name>[^:\[\]]*))(?::(?P<port>\d{1,5}))?\Z")


@dataclass(frozen=True)
class Location:
    """A Redis, of the kind that ``scheme`` names, and its settings. Equal locations share their connections."""

    text: str
    scheme: str
    nodes: tuple[Address, ...]
    path: str
    service: str
    db: int
    username: str | None
    password: str | None = field(repr=False)
    ssl: bool
    ssl_ca_certs: str | None
    ssl_certfile: str | None
    ssl_keyfile: str | None
    ssl_cert_reqs: str
    ssl_check_hostname: bool
    sentinel_username: str | None
    sentinel_password: str | None = field(repr=False)
    key_prefix: str
    socket_timeout: float
    socket_connect_timeout: float
    max_connections: int
    busy_wait: float
    health_check_interval: float
    min_replicas: int
    min_replicas_timeout: float
    #: Announced and reachable addresses; 0: any port, and the same port.
    address_map: tuple[tuple[Address, Address], ...]
    max_message_size: int
    enable_checksum: bool

    def __str__(self) -> str:
        """The store's URI without its password."""
        return self.text

    @property
    def is_cluster(self) -> bool:
        """Return whether it is a Redis Cluster."""
        return self.scheme == "redis+cluster"

    @property
    def is_cluster_node(self) -> bool:
        """Return whether it is one node of a Redis Cluster."""
        return self.scheme == CLUSTER_NODE

    def reachable(self, announced: Address) -> Address:
        """Return the address that reaches a server which a Sentinel or a node announces by another one."""
        if self.address_map:
            known = dict(self.address_map)
            host, port = known.get(announced) or known.get((announced[0], 0)) or announced
            return host, port or announced[1]
        return announced


#: Other names of schemes, and whether they mean TLS.
_OTHER_NAMES = {
    "valkey": ("redis", False),
    "rediss": ("rediss", True),
    "valkeys": ("rediss", True),
    "rediss+cluster": ("redis+cluster", True),
    "rediss+sentinel": ("redis+sentinel", True),
}


def locate(uri: StoreUri, options: Mapping[str, Any], conf: Any) -> Location:
    """Return the location of a URI; options take precedence over its query.

    Raises:
        ConfigurationError: the URI or an option cannot work.
    """
    scheme, is_tls = _OTHER_NAMES.get(uri.scheme, (uri.scheme, False))
    uri = replace(uri, scheme=scheme)
    _check_quoting(uri)
    values = settings.options(
        settings.REDIS, {**uri.options, **options}, where=str(uri), conf=conf, group=settings.REDIS_GROUP
    )
    username, password, hosts = _authority(uri)
    path, service, db = _target(uri, hosts, values.pop("db"))
    values["ssl"] = values["ssl"] or is_tls
    values["ssl_cert_reqs"] = values["ssl_cert_reqs"].lower()
    values["address_map"] = tuple(
        (_node(uri, announced, 0), _node(uri, reachable, 0))
        for announced, reachable in (values["address_map"] or {}).items()
    )
    _check_files(uri, values)
    return Location(
        text=str(uri),
        scheme=uri.scheme,
        nodes=() if path else _nodes(uri, hosts),
        path=path,
        service=service,
        db=db or 0,
        username=username,
        password=password,
        **values,
    )


def _target(uri: StoreUri, hosts: str, db: int | None) -> tuple[str, str, int | None]:
    """Return the path of the socket, the name of the master, and the database, which the URI's path names."""
    if uri.scheme == "redis+socket":
        return _socket(uri, hosts), "", db
    if uri.scheme == "redis+sentinel":
        return "", *_service(uri, db)
    db = _database(uri, uri.path.strip("/"), db)
    if uri.scheme == "redis+cluster" and db:
        raise ConfigurationError(f"{uri}: a Redis Cluster has one database, number 0")
    return "", "", db


def _check_quoting(uri: StoreUri) -> None:
    """Refuse an unquoted password, before another error shows the part of it behind its supposed end."""
    path = "" if uri.scheme == "redis+socket" else uri.path
    if "@" in path or any("@" in name for name in uri.options):
        raise ConfigurationError(
            f"{uri}: quote / ? # @ : and % in a user name or a password as %2F %3F %23 %40 %3A and %25"
        )


def _check_files(uri: StoreUri, values: Mapping[str, Any]) -> None:
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if values["ssl"] and values[name] and not Path(values[name]).is_file():
            raise ConfigurationError(f"{uri}: {name}={values[name]!r} is not a readable file")


def _authority(uri: StoreUri) -> tuple[str | None, str | None, str]:
    """Split ``user:password@hosts``; user and password are optional."""
    credentials, at, hosts = uri.authority.rpartition("@")
    if not at:
        return None, None, hosts
    username, _, password = credentials.partition(":")
    return unquote(username) or None, unquote(password) or None, hosts


def _nodes(uri: StoreUri, hosts: str) -> tuple[Address, ...]:
    """Return the addresses in ``host1:port,host2``; the default host is localhost."""
    default = SENTINEL_PORT if uri.scheme == "redis+sentinel" else PORT
    nodes = tuple(_node(uri, host, default) for host in hosts.split(","))
    if len(nodes) > 1 and uri.scheme in {"redis", "rediss"}:
        raise ConfigurationError(
            f"{uri} names {len(nodes)} hosts: redis+sentinel:// or redis+cluster:// takes several; "
            "for failover between brokers separate whole URLs with ';'"
        )
    return nodes


def _node(uri: StoreUri, host: str, default: int) -> Address:
    found = _HOST.match(host.strip())
    port = int(found["port"] or default) if found else 0
    if found is None or not (0 < port < 1 << 16 or port == default):
        raise ConfigurationError(f"{uri}: {host!r} is not HOST or HOST:PORT")
    return found["v6"] or unquote(found["name"]) or "localhost", port


def _socket(uri: StoreUri, hosts: str) -> str:
    if hosts or uri.path in {"", "/"}:
        raise ConfigurationError(
            f"{uri}: the path must be that of a socket, as in redis+socket:///run/redis/redis.sock?db=0"
        )
    return uri.path


def _service(uri: StoreUri, db: int | None) -> tuple[str, int | None]:
    service, _, number = uri.path.strip("/").partition("/")
    if not service:
        raise ConfigurationError(f"{uri} names no master, as redis+sentinel://host1,host2/MASTER/0 does")
    return service, _database(uri, number, db)


def _database(uri: StoreUri, number: str, db: int | None) -> int | None:
    if not number:
        return db
    if not (number.isascii() and number.isdigit()):
        raise ConfigurationError(f"{uri}: {number!r} is not the number of a database, as in redis://host:6379/0")
    if db is not None and db != int(number):
        raise ConfigurationError(f"{uri} names the database twice: {number} and db={db}")
    return int(number)
