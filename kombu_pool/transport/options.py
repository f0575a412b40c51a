"""Reads a broker URL and ``broker_transport_options``: the control store, and the behaviour of a connection."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import platformdirs

from kombu_pool import conf as options_of
from kombu_pool.drivers.masking import MASK, mask_uri, show
from kombu_pool.drivers.uri import parse
from kombu_pool.errors import ConfigurationError
from kombu_pool.transport import foreign_options
from kombu_pool.transport.foreign_options import PREFIXES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oslo_config import cfg

#: From ``broker_transport_options`` alone: oslo.config has no types for these.
STRUCTURED = ("pools", "flavors")
OURS = (*STRUCTURED, *(opt.dest for opt in options_of.TRANSPORT))
_PLAIN = "pool"
_CONF = "conf"


@dataclass(frozen=True, eq=False)
class TransportOptions:
    """A connection's options, checked; see :data:`kombu_pool.conf.TRANSPORT` for their meaning.

    Connections with equal options share a broker.
    """

    uri: str = field(repr=False)
    project: str | None
    claim_ttl: float
    claim_grace: float
    ack_delay: float
    read_ahead: int
    queue_order_strategy: str
    priority_order: str
    delay_eta: bool
    batch_groups: bool
    dead_letter_max_length: int
    dead_letter_ttl: float
    on_queue_mismatch: str
    queue_flavors: Mapping[str, str]
    pools: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    flavors: tuple[Any, ...] = ()
    conf: cfg.ConfigOpts | None = field(default=None, repr=False)
    #: The process that read them: a child process shares no broker with its parent.
    pid: int = field(default_factory=os.getpid, repr=False)

    @property
    def zero_is_highest(self) -> bool:
        """Whether a message of priority 0 comes first."""
        return self.priority_order == "redis"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TransportOptions) and repr(vars(self)) == repr(vars(other))

    def __hash__(self) -> int:
        return hash(repr(vars(self)))


def read(uri: str, given: Mapping[str, Any], conf: cfg.ConfigOpts | None = None) -> TransportOptions:
    """Check the transport options of a connection to the control store at ``uri``.

    Raises:
        ConfigurationError: one of them is misspelt, or cannot have that value.
    """
    where = "broker_transport_options"
    given = {name: value for name, value in given.items() if value is not None}
    foreign = {name: value for name, value in given.items() if foreign_options.is_foreign(name, OURS, where)}
    known = {name: value for name, value in given.items() if name not in foreign}
    _require_mapping(where, "queue_flavors", known.get("queue_flavors", {}))
    structured: dict[str, Any] = {
        "pools": _sequence(where, "pools", known.pop("pools", ())),
        "flavors": _sequence(where, "flavors", known.pop("flavors", ())),
    }
    values = options_of.options(options_of.TRANSPORT, known, where=where, conf=conf, group=options_of.TRANSPORT_GROUP)
    if not values["project"]:
        values["project"] = foreign_options.project_of(foreign)
        foreign = {
            name: value
            for name, value in foreign.items()
            if name not in PREFIXES or value not in ("", values["project"])
        }
    uri, is_complete = foreign_options.sentinel_options(uri, foreign)
    used = {"sentinel_kwargs"} if is_complete else set()
    if "priority_order" in known:
        # The order is chosen, and there are more priorities than steps.
        used.add("priority_steps")
    foreign_options.warn_of(foreign.keys() - used, where)
    return TransportOptions(uri=uri, conf=conf, **structured, **values)


def _require_mapping(where: str, name: str, value: Any) -> None:
    if not isinstance(value, dict) or not all(isinstance(item, str) for pair in value.items() for item in pair):
        raise ConfigurationError(
            f"{where}: {name} must map names or patterns of queues to flavors, not be {show(value)}"
        )


def _sequence(where: str, name: str, value: Any) -> tuple[Any, ...]:
    if isinstance(value, dict) and all(entry is None or isinstance(entry, dict) for entry in value.values()):
        return tuple({"name": key, **(entry or {})} for key, entry in value.items())
    if not isinstance(value, list | tuple) or not all(isinstance(entry, dict | str) for entry in value):
        raise ConfigurationError(f"{where}: {name} must be a list of dictionaries, each with its 'name'")
    return tuple({"name": entry} if isinstance(entry, str) else entry for entry in value)


def state_file(name: str) -> str:
    """Return the file of the embedded store ``name``, the same from every working directory."""
    folder = Path(platformdirs.user_state_dir("kombu_pool", appauthor=False))
    return str(folder / f"{quote(name or 'default', safe=' ')}.db")


def control_uri(url: str) -> str:
    """Return the control store's URI of a broker URL.

    Raises:
        ConfigurationError: it is not the URL of a pool.
    """
    text = url.removeprefix(f"{_PLAIN}+")
    scheme, _, rest = text.partition("://")
    if scheme != _PLAIN:
        return text
    host, _, name = rest.partition("?")[0].partition("/")
    if host not in ("", "localhost"):
        raise ConfigurationError(
            f"{mask_uri(text)!r} names a server: such a broker URL is pool+redis://{host.rpartition('@')[2]}/..., "
            "pool+mongodb://...; pool:// and pool:///name are files of this user"
        )
    query = rest.partition("?")[2]
    return f"sqlite:///{quote(state_file(unquote(name).strip('/')))}" + (f"?{query}" if query else "")


def is_ours(url: str) -> bool:
    """Return whether a broker URL is one of a pool."""
    return url.partition("://")[0].partition("+")[0] == _PLAIN


def shown(uri: str, *, include_password: bool, hidden: str = MASK) -> str:
    """Return a control store's URI as the broker URL that leads to it."""
    text = uri if include_password else mask_uri(uri).replace(f":{MASK}@", f":{hidden}@")
    return f"{_PLAIN}+{text}"


@cache
def from_file(uri: str) -> tuple[str, cfg.ConfigOpts | None]:
    """Return the control store's URI and the configuration, if ``uri`` is ``conf:///a/file``; else the URI itself.

    A process reads a file once, so that its connections share one broker.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    parsed = parse(uri)
    if parsed.scheme != _CONF:
        return uri, None
    configured, conf = options_of.read_file(parsed.path)
    return configured or control_uri(f"{_PLAIN}://"), conf
