"""The options as oslo.config knows them: for a configuration file, its sample, and a user's own ``ConfigOpts``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oslo_config import cfg, types

from kombu_pool.errors import ConfigurationError
from kombu_pool.option import Addresses, Boolean, Number, Option, Pairs, Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class _Addresses(types.ConfigType):
    """The type of :class:`~kombu_pool.option.Addresses` with a name, and a form for the sample."""

    def __init__(self) -> None:
        super().__init__(type_name="addresses")

    def __call__(self, value: Any) -> dict[str, str]:
        return Addresses()(value)

    def __eq__(self, other: object) -> bool:
        # The same option may be registered again.
        return isinstance(other, _Addresses)

    def __hash__(self) -> int:
        return hash(_Addresses)

    def _formatter(self, value: dict[str, str]) -> str:
        return Addresses.written(value)


#: What oslo.config raises for a file that is absent, of another encoding, or of another form.
_UNREADABLE = (cfg.Error, cfg.ParseError, OSError, UnicodeDecodeError)
_TYPES: dict[type, Callable[[Any], types.ConfigType]] = {
    Boolean: lambda _: types.Boolean(),
    Number: lambda one: (types.Integer if one.kind is int else types.Float)(one.min, one.max),
    Text: lambda one: types.String(
        choices=list(one.choices) or None, regex=one.regex, ignore_case=one.ignore_case, type_name="string value"
    ),
    Pairs: lambda _: types.Dict(),
    Addresses: lambda _: _Addresses(),
}


def as_oslo(option: Option | cfg.Opt) -> cfg.Opt:
    """Return the option of oslo.config that an option is."""
    if isinstance(option, cfg.Opt):
        return option
    kind = _TYPES[type(option.type)](option.type)
    return cfg.Opt(option.dest, type=kind, default=option.default, help=option.help, secret=option.secret)


def configured(option: Option | cfg.Opt, conf: cfg.ConfigOpts, group: str) -> Any:
    """Return the value that a configuration has for an option, or the option's default.

    Raises:
        ConfigurationError: it is invalid.
    """
    conf.register_opt(as_oslo(option), group=group)
    try:
        return conf[group][option.dest]
    except (cfg.ConfigFileValueError, ValueError) as error:
        raise ConfigurationError(f"[{group}] {option.dest}: {error} ({option.help})") from error


def sections_of(path: str) -> dict[str, dict[str, Any]]:
    """Return the options that a configuration file gives, by their groups, unread.

    Raises:
        ConfigurationError: it cannot be read.
    """
    sections: dict[str, dict[str, Any]] = {}
    try:
        cfg.ConfigParser(path, sections).parse()
    except _UNREADABLE as error:
        # Without its cause, which shows the line, and with it what may be a password.
        raise _unreadable(path, error) from None
    return sections


def open_file(path: str, groups: Iterable[tuple[str, Iterable[Option]]]) -> cfg.ConfigOpts:
    """Return the configuration of a file, with the options of these groups.

    Raises:
        ConfigurationError: it cannot be read.
    """
    conf = cfg.ConfigOpts()
    for group, options in groups:
        conf.register_opts([as_oslo(option) for option in options], group=group)
    try:
        conf(args=[], default_config_files=[path], default_config_dirs=[])
    except _UNREADABLE as error:
        # Without its cause, which shows the line, and with it what may be a password.
        raise _unreadable(path, error) from None
    return conf


def _unreadable(path: str, error: Exception) -> ConfigurationError:
    if isinstance(error, cfg.ParseError):
        reason = f"line {error.lineno}: {error.msg}"
    elif isinstance(error, UnicodeDecodeError):
        reason = f"it is not encoded as UTF-8 at byte {error.start}"
    else:
        reason = str(error)
    return ConfigurationError(f"{path} cannot be read as a configuration file: {reason}")
