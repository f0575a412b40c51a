"""The location of a store: its URI and options, validated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pymongo import errors as mongo_errors
from pymongo import uri_parser

from kombu_pool import conf as settings
from kombu_pool.drivers.masking import mask
from kombu_pool.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.drivers.uri import StoreUri

DATABASE: Final = "kombu_pool"
_NOT_IN_NAMES = frozenset('/\\. "$*<>:|?\0')
_LONGEST_NAME = 63

#: PyMongo's options unless they are given: every wait is bounded, and a confirmed write survives.
_DEFAULTS: Mapping[str, Any] = {
    "appname": "kombu_pool",
    # A server that refuses is known by this alone: after 4 s Celery, and after 5 s Kombu, tries no further broker URL.
    "serverselectiontimeoutms": 3000,
    "connecttimeoutms": 5000,
    "sockettimeoutms": 10000,
    "waitqueuetimeoutms": 10000,
    "wtimeoutms": 8000,
    "w": "majority",
    "journal": True,
    "retrywrites": True,
}


@dataclass(frozen=True)
class Location:
    """A database of a MongoDB and its settings; drivers with equal locations share their connections.

    ``options`` are PyMongo's keyword arguments.
    """

    text: str
    uri: str = field(repr=False)
    database: str
    options: tuple[tuple[str, Any], ...] = field(repr=False)
    collection_prefix: str
    max_message_size: int
    enable_checksum: bool

    def __str__(self) -> str:
        """The store's URI without its password."""
        return self.text


def locate(uri: StoreUri, options: Mapping[str, Any], conf: Any) -> Location:
    """Return the location of a URI; ``options``, ours and PyMongo's, override those of the URI.

    Raises:
        ConfigurationError: the URI or an option is invalid.
    """
    _check_quoting(uri)
    known = {opt.dest for opt in settings.MONGODB}
    given = {**uri.options, **options}
    theirs = {name: value for name, value in given.items() if name not in known}
    ours = {name: value for name, value in given.items() if name in known}
    values = settings.options(settings.MONGODB, ours, where=str(uri), conf=conf, group=settings.MONGODB_GROUP)
    database = _database(uri)
    return Location(
        text=str(uri),
        uri=f"{uri.scheme}://{_authority(uri)}/{database if uri.path.strip('/') else ''}",
        database=database,
        options=tuple(sorted(_client_options(uri, theirs).items())),
        **values,
    )


def _check_quoting(uri: StoreUri) -> None:
    """Refuse a URI with an unquoted password, whose rest another error would show."""
    if "@" in uri.path or any("@" in name for name in uri.options):
        raise ConfigurationError(
            f"{uri}: in a user's name or a password, / ? # @ : and % are %2F %3F %23 %40 %3A and %25"
        )


def _authority(uri: StoreUri) -> str:
    """Return ``user:password@hosts``; the default host is localhost."""
    credentials, at, hosts = uri.authority.rpartition("@")
    hosts = hosts or "localhost"
    try:
        if uri.scheme == "mongodb":
            uri_parser.split_hosts(hosts)
        if at:
            uri_parser.parse_userinfo(credentials)
    except (mongo_errors.PyMongoError, ValueError) as error:
        # PyMongo's text may contain the password.
        kind = "the user's name and password" if isinstance(error, mongo_errors.InvalidURI) else "the hosts"
        raise ConfigurationError(
            f"{uri}: {kind} cannot be parsed; expected mongodb://user:password@host:27017/database"
        ) from None
    return f"{credentials}{at}{hosts}"


def _database(uri: StoreUri) -> str:
    name = uri.path.strip("/") or DATABASE
    if _NOT_IN_NAMES & set(name) or len(name.encode()) > _LONGEST_NAME:
        raise ConfigurationError(f"{uri}: {name!r} is no valid database name; expected mongodb://host:27017/database")
    return name


def _client_options(uri: StoreUri, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return PyMongo's keyword arguments, with our defaults."""
    theirs: dict[str, Any] = {}
    for name, value in given.items():
        lower = name.lower()
        if lower in theirs:
            raise ConfigurationError(f"{uri} names the option {name!r} twice")
        theirs[lower] = _hashable(_checked(uri, name, value))
    if str(theirs.get("w")) == "0":
        raise ConfigurationError(f"{uri}: w must not be 0: a producer would not learn whether a message was stored")
    implied = {"tls": True} if uri.scheme == "mongodb+srv" and "ssl" not in theirs else {}
    defaults = {name: value for name, value in _DEFAULTS.items() if _other_name(name) not in theirs}
    return {**defaults, **implied, **theirs}


def _checked(uri: StoreUri, name: str, value: Any) -> Any:
    try:
        uri_parser.validate_options({name.lower(): value}, warn=False)
    except (mongo_errors.PyMongoError, ValueError, TypeError) as error:
        known = ", ".join(sorted(opt.dest for opt in settings.MONGODB))
        text = mask(str(error))
        raise ConfigurationError(f"{uri}: {name}: {text}; ours are {known}, all others PyMongo's") from (
            error if text == str(error) else None
        )
    return value


def _other_name(name: str) -> str:
    """Return PyMongo's other name of an option."""
    return {"wtimeoutms": "wtimeout"}.get(name, name)


def _hashable(value: Any) -> Any:
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value
