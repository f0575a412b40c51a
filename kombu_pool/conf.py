"""Every option: its type, range, default and help, as oslo.config knows them.

An option is looked for in four places, the nearest first: the pool's own options, the query of its URI, the
configuration file, the default. Nothing here ever writes to the configuration that it is given, so that two pools of
one kind never share a setting by accident.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oslo_config import cfg

from kombu_pool.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MIB = 1024 * 1024

CATALOG_GROUP = "pooling:catalog"
CATALOG: list[cfg.Opt] = [
    cfg.BoolOpt(
        "enable_virtual_pool",
        default=True,
        help="Let the control store serve as a pool named 'default' when it names no pool. Off: NoPoolFound.",
    ),
    cfg.FloatOpt(
        "cache_ttl",
        default=10.0,
        min=0.0,
        max=3600.0,
        help="Seconds for which a process trusts what it read of the catalogue.",
    ),
]

MANAGEMENT_GROUP = "drivers:management_store"
MANAGEMENT: list[cfg.Opt] = [
    cfg.StrOpt("uri", secret=True, help="The control store, as in pool+<uri>. By default a file in the state folder."),
]

STORE: list[cfg.Opt] = [
    cfg.IntOpt(
        "max_message_size",
        default=128 * MIB,
        min=1,
        max=1024 * MIB,
        help="The longest record, in bytes, that a message may take. A longer one is refused with MessageTooLarge.",
    ),
]
MEMORY_GROUP = "drivers:message_store:memory"
MEMORY = STORE

SQLITE_GROUP = "drivers:message_store:sqlite"
SQLITE: list[cfg.Opt] = [
    *STORE,
    cfg.StrOpt(
        "synchronous",
        default="FULL",
        choices=[
            ("FULL", "what was posted survives a loss of power"),
            ("NORMAL", "it survives a crash of any process; the last few milliseconds may go with the power"),
        ],
        ignore_case=True,
        help="When SQLite waits for the disk.",
    ),
    cfg.FloatOpt(
        "busy_timeout",
        default=30.0,
        min=0.0,
        max=3600.0,
        help="Seconds to wait for another writer before the store counts as unavailable.",
    ),
    cfg.IntOpt(
        "wal_size_limit",
        default=16 * MIB,
        min=MIB,
        help="Bytes to which the write-ahead log is cut back once it has been written over.",
    ),
]

REDIS_GROUP = "drivers:message_store:redis"
REDIS: list[cfg.Opt] = [
    *STORE,
    cfg.StrOpt(
        "key_prefix",
        default="kombu-pool",
        regex=r"\A[^{}\s]+\Z",
        help="What the names of all keys begin with, so that several applications share one database.",
    ),
    cfg.IntOpt("db", min=0, help="The number of the database, where the URI's path does not say it."),
    cfg.FloatOpt(
        "socket_timeout",
        default=5.0,
        min=0.05,
        max=3600.0,
        help="Seconds to wait for an answer before the store counts as unavailable.",
    ),
    cfg.FloatOpt(
        "socket_connect_timeout",
        default=5.0,
        min=0.05,
        max=3600.0,
        help="Seconds to wait for a connection.",
    ),
    cfg.IntOpt(
        "max_connections",
        default=2,
        min=1,
        max=1000,
        help="The most connections of a process that commands go through; one more waits for messages.",
    ),
    cfg.FloatOpt(
        "busy_wait",
        default=0.00005,
        min=0.0,
        max=0.01,
        help="Seconds for which a publish waits awake for its answer, where answers come that soon; 0: asleep.",
    ),
    cfg.FloatOpt(
        "health_check_interval",
        default=4.0,
        min=0.0,
        max=3600.0,
        help="Seconds without use after which a connection is tried out before it is used again.",
    ),
    cfg.IntOpt(
        "min_replicas",
        default=0,
        min=0,
        max=100,
        help="How many replicas must have what was written before a call returns; fewer: the call fails and says so.",
    ),
    cfg.FloatOpt(
        "min_replicas_timeout",
        default=1.0,
        min=0.01,
        max=3600.0,
        help="Seconds to wait for those replicas.",
    ),
    cfg.BoolOpt("ssl", default=False, help="Connect by TLS; rediss:// does so by itself."),
    cfg.StrOpt("ssl_ca_certs", help="The file of the certificates that the server's is checked against."),
    cfg.StrOpt("ssl_certfile", help="The file of the certificate that we show."),
    cfg.StrOpt("ssl_keyfile", help="The file of its key."),
    cfg.StrOpt(
        "ssl_cert_reqs",
        default="required",
        choices=[
            ("required", "a server without a valid certificate is refused"),
            ("optional", "a certificate is checked if there is one"),
            ("none", "any certificate will do"),
        ],
        help="Whether the server's certificate is checked.",
    ),
    cfg.BoolOpt("ssl_check_hostname", default=True, help="Whether that certificate must bear the host's name."),
    cfg.StrOpt("sentinel_username", help="The user by whose name the sentinels are asked."),
    cfg.StrOpt("sentinel_password", secret=True, help="The password for the sentinels."),
]

MONGODB_GROUP = "drivers:message_store:mongodb"
MONGODB: list[cfg.Opt] = [
    cfg.IntOpt(
        "max_message_size",
        default=15 * MIB,
        min=1,
        max=15 * MIB,
        help="The longest record, in bytes, that a message may take; a document of MongoDB holds 16 MiB.",
    ),
    cfg.StrOpt(
        "collection_prefix",
        default="kombu_pool_",
        regex=r"\A[A-Za-z_][A-Za-z0-9_-]{0,99}\Z",
        help="What the names of all collections begin with, so that several applications share one database.",
    ),
]

TRANSPORT_GROUP = "transport"
TRANSPORT: list[cfg.Opt] = [
    cfg.StrOpt("project", help="The project (tenant, AMQP's virtual host) whose queues the connection sees."),
    cfg.FloatOpt(
        "claim_ttl",
        default=60.0,
        min=0.5,
        max=43200.0,
        help="Seconds after which the messages of a consumer that died come back. Claims are renewed at a third of it.",
    ),
    cfg.FloatOpt(
        "claim_grace",
        default=60.0,
        min=0.0,
        max=43200.0,
        help="Seconds for which a message that would have expired outlives its claim.",
    ),
    cfg.FloatOpt(
        "ack_delay",
        default=0.002,
        min=0.0,
        max=1.0,
        help="Seconds for which acknowledgements are gathered before they go to the store together.",
    ),
    cfg.IntOpt(
        "read_ahead",
        default=256,
        min=1,
        max=10000,
        help="Messages held ready for a consumer without a prefetch limit, and the most that one claim takes.",
    ),
    cfg.BoolOpt(
        "delay_eta",
        default=True,
        help="Keep a task with an eta or countdown in the store until it is due. Off: workers hold it.",
    ),
    cfg.BoolOpt(
        "batch_groups",
        default=True,
        help="Post the tasks of a Celery group many at a time. Off: one by one.",
    ),
    cfg.DictOpt(
        "queue_flavors",
        default={},
        help="The flavor of new queues by their name, or by a pattern of it: {'reports.*': 'durable'}.",
    ),
]


def options(
    opts: Iterable[cfg.Opt],
    given: Mapping[str, Any],
    *,
    where: str,
    conf: cfg.ConfigOpts | None = None,
    group: str = "",
) -> dict[str, Any]:
    """Return a value for each of ``opts``: what is ``given``, else what ``conf`` has in ``group``, else the default.

    ``where`` names the place that ``given`` came from, for errors.

    Raises:
        ConfigurationError: ``given`` names an option that is not among ``opts``, or a value that does not fit.
    """
    known = {opt.dest: opt for opt in opts}
    for name in given:
        if name not in known:
            raise ConfigurationError(f"{where}: no option {name!r}; known here: {', '.join(sorted(known)) or 'none'}")
    return {
        name: _checked(opt, given[name], where) if name in given else _configured(opt, conf, group)
        for name, opt in known.items()
    }


def _checked(opt: cfg.Opt, value: Any, where: str) -> Any:
    try:
        return opt.type(value)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{where}: {opt.dest}={value!r} is not possible: {error} ({opt.help})") from error


def _configured(opt: cfg.Opt, conf: cfg.ConfigOpts | None, group: str) -> Any:
    if conf is None:
        return opt.default
    conf.register_opt(opt, group=group)
    try:
        return conf[group][opt.dest]
    except (cfg.ConfigFileValueError, ValueError) as error:
        raise ConfigurationError(f"[{group}] {opt.dest}: {error} ({opt.help})") from error


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """List the options that a configuration file may set, by their groups, for oslo-config-generator."""
    return [
        (MANAGEMENT_GROUP, MANAGEMENT),
        (CATALOG_GROUP, CATALOG),
        (MEMORY_GROUP, MEMORY),
        (SQLITE_GROUP, SQLITE),
        (REDIS_GROUP, REDIS),
        (MONGODB_GROUP, MONGODB),
        # Queue rules are read from broker_transport_options alone.
        (TRANSPORT_GROUP, [opt for opt in TRANSPORT if opt.dest != "queue_flavors"]),
    ]
