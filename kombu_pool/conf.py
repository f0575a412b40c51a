"""Every option: its type, range, default and help text.

An option is looked up in four places, the nearest first: the pool's own options, the query of its URI, the
configuration file, the default. No function here writes to a configuration that it is given, so that two pools of one
kind never share a setting by accident.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import ConfigurationError
from kombu_pool.option import Addresses, Option, Pairs, boolean, choice, integer, seconds, text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from oslo_config import cfg

MIB = 1024 * 1024

_CHECKSUM = boolean(
    "enable_checksum", default=False, help="Show the checksum of a message that is read by its id, as Zaqar does."
)

CATALOG_GROUP = "pooling:catalog"
CATALOG: list[Option] = [
    boolean(
        "enable_virtual_pool",
        default=True,
        help="Use the control store as a pool named 'default' while no pool without a flavor has a weight above 0. "
        "Off: NoPoolFound.",
    ),
    seconds(
        "cache_ttl",
        default=10.0,
        min=0.0,
        max=3600.0,
        help="Longest use of a cached catalogue entry, in seconds.",
    ),
]

MANAGEMENT_GROUP = "drivers:management_store"
MANAGEMENT: list[Option] = [
    text("uri", secret=True, help="The control store, as in pool+<uri>. By default a file in the state folder."),
]

STORE: list[Option] = [
    integer(
        "max_message_size",
        default=128 * MIB,
        min=1,
        max=1024 * MIB,
        help="The longest record of a message, in bytes. A longer one is refused with MessageTooLarge.",
    ),
    _CHECKSUM,
]
MEMORY_GROUP = "drivers:message_store:memory"
MEMORY = STORE

SQLITE_GROUP = "drivers:message_store:sqlite"
SQLITE: list[Option] = [
    *STORE,
    choice(
        "synchronous",
        default="FULL",
        choices=[
            ("FULL", "posted messages survive a loss of power"),
            ("NORMAL", "they survive a crash of any process; a loss of power may lose the last few milliseconds"),
        ],
        ignore_case=True,
        help="When SQLite waits for the disk.",
    ),
    seconds(
        "busy_timeout",
        default=30.0,
        min=0.0,
        max=3600.0,
        help="Seconds to wait for another writer before the store counts as unavailable.",
    ),
    integer(
        "wal_size_limit",
        default=16 * MIB,
        min=MIB,
        help="Bytes to which the write-ahead log is truncated once it has been written over.",
    ),
]

REDIS_GROUP = "drivers:message_store:redis"
REDIS: list[Option] = [
    *STORE,
    text(
        "key_prefix",
        default="kombu-pool",
        regex=r"\A[^{}\s]+\Z",
        help="The beginning of all key names, so that several applications share one database.",
    ),
    integer("db", min=0, help="The number of the database, where the URI's path does not name it."),
    seconds(
        "socket_timeout",
        default=5.0,
        min=0.05,
        max=3600.0,
        help="Seconds to wait for an answer before the store counts as unavailable.",
    ),
    seconds(
        "socket_connect_timeout",
        default=5.0,
        min=0.05,
        max=3600.0,
        help="Seconds to wait for a connection.",
    ),
    integer(
        "max_connections",
        default=2,
        min=1,
        max=1000,
        help="The most connections of a process for commands; one more waits for messages.",
    ),
    seconds(
        "busy_wait",
        default=0.0,
        min=0.0,
        max=0.01,
        help="Seconds for which a publish polls for its reply before it sleeps; 0: none.",
    ),
    seconds(
        "health_check_interval",
        default=4.0,
        min=0.0,
        max=3600.0,
        help="Seconds without use after which a connection is tested before its next use; 0: never.",
    ),
    integer(
        "min_replicas",
        default=0,
        min=0,
        max=100,
        help="Replicas that must have a message before its publish returns; with fewer, the publish fails.",
    ),
    seconds(
        "min_replicas_timeout",
        default=1.0,
        min=0.01,
        max=3600.0,
        help="Seconds to wait for those replicas.",
    ),
    boolean("ssl", default=False, help="Connect with TLS; rediss:// implies it."),
    text("ssl_ca_certs", help="The file with the CA certificates for the check of the server's certificate."),
    text("ssl_certfile", help="The file with the client's certificate."),
    text("ssl_keyfile", help="The file with the key of the client's certificate."),
    choice(
        "ssl_cert_reqs",
        default="required",
        choices=[
            ("required", "a server without a valid certificate is refused"),
            ("optional", "a certificate is checked if there is one"),
            ("none", "any certificate is accepted"),
        ],
        help="Whether the server's certificate is checked.",
    ),
    boolean("ssl_check_hostname", default=True, help="Whether that certificate must be for the host's name."),
    Option(
        "address_map",
        Addresses(),
        help="Addresses that the Sentinels or the nodes of a cluster announce, and those that reach them.",
    ),
    text("sentinel_username", help="The user name for the sentinels."),
    text("sentinel_password", secret=True, help="The password for the sentinels."),
]

MONGODB_GROUP = "drivers:message_store:mongodb"
MONGODB: list[Option] = [
    integer(
        "max_message_size",
        default=15 * MIB,
        min=1,
        max=15 * MIB,
        help="The longest record of a message, in bytes; a document of MongoDB holds 16 MiB.",
    ),
    _CHECKSUM,
    text(
        "collection_prefix",
        default="kombu_pool_",
        regex=r"\A[A-Za-z_][A-Za-z0-9_-]{0,99}\Z",
        help="The beginning of all collection names, so that several applications share one database.",
    ),
]

TRANSPORT_GROUP = "transport"
TRANSPORT: list[Option] = [
    text("project", help="The project (tenant, AMQP's virtual host) whose queues the connection sees."),
    seconds(
        "claim_ttl",
        default=60.0,
        min=0.5,
        max=43200.0,
        help="Seconds after which, at the latest, what a dead consumer held is free. Claims are renewed at a third.",
    ),
    seconds(
        "claim_grace",
        default=60.0,
        min=0.0,
        max=43200.0,
        help="Seconds by which a message outlives its claim if it would have expired before.",
    ),
    seconds(
        "ack_delay",
        default=0.002,
        min=0.0,
        max=1.0,
        help="Seconds for which acknowledgements are gathered into one call to the store.",
    ),
    integer(
        "read_ahead",
        default=256,
        min=1,
        max=10000,
        help="Messages held ready for a consumer without a prefetch limit, and the largest claim.",
    ),
    choice(
        "queue_order_strategy",
        default="round_robin",
        choices=[
            ("round_robin", "In turn, so that each queue gets as many messages as the others."),
            ("priority", "In the order in which they are consumed: the next one gets what the first ones leave."),
            ("sorted", "In the order of their names."),
        ],
        help="From which of several queues with messages a channel takes the next ones.",
    ),
    choice(
        "priority_order",
        default="amqp",
        choices=[
            ("amqp", "0 is the lowest priority, as on RabbitMQ, and that of a message without one."),
            ("redis", "0 is the highest priority, as on redis://, and that of a message without one."),
        ],
        help="The order of the priorities 0 to 255 of published messages, the same for all producers of a queue.",
    ),
    boolean(
        "delay_eta",
        default=True,
        help="Keep a task with an eta or countdown in the store until it is due. Off: workers hold it.",
    ),
    Option(
        "queue_flavors",
        Pairs(),
        {},
        help="Flavors of new queues, by the queue's name or a pattern of it, as in metrics.*:quick,payments:sure.",
    ),
    boolean(
        "batch_groups",
        default=True,
        help="Post the tasks of a Celery group in batches. Off: one by one.",
    ),
    integer(
        "dead_letter_max_length",
        default=10_000,
        min=0,
        max=10**9,
        help="The most dead letters that the queue kombu_pool.dead_letters keeps, the last ones; 0: all.",
    ),
    seconds(
        "dead_letter_ttl",
        default=7 * 86400.0,
        min=0.0,
        max=10**9,
        help="Seconds for which the queue kombu_pool.dead_letters keeps a dead letter; 0: for ever.",
    ),
    choice(
        "on_queue_mismatch",
        default="raise",
        choices=[
            ("raise", "The declaration fails with PRECONDITION_FAILED (406), as on RabbitMQ."),
            ("keep", "The queue stays as it is, and one log line a queue says so."),
        ],
        help="What follows if a queue exists with other properties or arguments than those declared.",
    ),
]


#: The options of a configuration file by their groups.
GROUPS: dict[str, list[Option]] = {
    MANAGEMENT_GROUP: MANAGEMENT,
    CATALOG_GROUP: CATALOG,
    MEMORY_GROUP: MEMORY,
    SQLITE_GROUP: SQLITE,
    REDIS_GROUP: REDIS,
    MONGODB_GROUP: MONGODB,
    TRANSPORT_GROUP: TRANSPORT,
}


def options(
    opts: Iterable[Option | cfg.Opt],
    given: Mapping[str, Any],
    *,
    where: str,
    conf: cfg.ConfigOpts | None = None,
    group: str = "",
) -> dict[str, Any]:
    """Return a value for each of ``opts``: from ``given``, else from ``group`` of ``conf``, else the default.

    ``where`` names the source of ``given``, for errors. A driver's own options may be those of oslo.config, too.

    Raises:
        ConfigurationError: ``given`` holds an option that is not among ``opts``, or an invalid value.
    """
    known = {opt.dest: opt for opt in opts}
    for name in given:
        if name not in known:
            raise ConfigurationError(f"{where}: no option {name!r}; known: {', '.join(sorted(known)) or 'none'}")
    return {
        name: _checked(opt, given[name], where) if name in given else _configured(opt, conf, group)
        for name, opt in known.items()
    }


def _checked(opt: Option | cfg.Opt, value: Any, where: str) -> Any:
    try:
        return opt.type(value)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{where}: invalid {opt.dest}={value!r}: {error} ({opt.help})") from error


def _configured(opt: Option | cfg.Opt, conf: cfg.ConfigOpts | None, group: str) -> Any:
    if conf is None:
        return opt.default
    from kombu_pool import oslo_options  # noqa: PLC0415 - loads oslo.config, which made this configuration

    return oslo_options.configured(opt, conf, group)


def read_file(path: str) -> tuple[str | None, cfg.ConfigOpts]:
    """Return the control store's URI that a configuration file names, if any, and the configuration.

    Raises:
        ConfigurationError: it cannot be read, has an unknown option in a group of ours, or misspells such a group.
    """
    from kombu_pool import oslo_options  # noqa: PLC0415 - only a configuration file needs oslo.config

    _check_names(path, oslo_options.sections_of(path))
    conf = oslo_options.open_file(path, [(MANAGEMENT_GROUP, MANAGEMENT)])
    return conf[MANAGEMENT_GROUP].uri, conf


def _check_names(path: str, sections: Mapping[str, Collection[str]]) -> None:
    """Check the options of our groups; other groups are those of other programs, and of drivers not built in."""
    known = {group: {opt.dest for opt in opts} for group, opts in GROUPS.items()}
    for group, given in sections.items():
        if group in known:
            for name in set(given) - known[group]:
                raise ConfigurationError(f"{path}: [{group}] has no option {name!r}; {_hint(name, known[group])}")
        elif near := _near_groups(group, known):
            raise ConfigurationError(f"{path}: unknown group [{group}]; did you mean [{near[0]}]?")


def _near_groups(group: str, known: Collection[str]) -> list[str]:
    """Return the groups that this one may mean; of a store's group the scheme counts, as all else is the same."""
    stem = "drivers:message_store:"
    scheme = group.removeprefix(stem)
    if scheme == group:
        return get_close_matches(group, known, cutoff=0.85)
    return [stem + each for each in get_close_matches(scheme, [each.removeprefix(stem) for each in known], cutoff=0.8)]


def _hint(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options of a configuration file by their groups, for oslo-config-generator."""
    from kombu_pool import oslo_options  # noqa: PLC0415 - as above

    return [(group, [oslo_options.as_oslo(opt) for opt in opts]) for group, opts in GROUPS.items()]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of all groups, so that a program can override them before it hands ``conf`` over."""
    for group, opts in list_opts():
        conf.register_opts(opts, group=group)
