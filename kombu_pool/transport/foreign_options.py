"""Options of other transports, which users bring along: none of them ends a process, and none is ignored in silence."""

from __future__ import annotations

import logging
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from kombu_pool import conf
from kombu_pool.drivers.uri import parse
from kombu_pool.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

logger = logging.getLogger(__name__)

#: Options that Kombu heeds itself; a publish with a retry policy adds them, too.
OF_KOMBU = frozenset(
    {
        "callback", "connect_retries_timeout", "errback", "interval_max", "interval_start", "interval_step",
        "max_retries", "on_revive", "retry_errors",
    }
)  # fmt: skip

#: Prefixes of queue names, by which other transports keep installations apart.
PREFIXES = ("global_keyprefix", "queue_name_prefix")

_WAKE_UP = "needs nothing: consumers are woken by the store"
_RENEWED = "needs nothing: claims are renewed while their consumer lives, see claim_ttl"
_KEEPALIVE = "needs nothing: connections are tested before their use, see health_check_interval"
_RETRIED = "needs nothing: what the store did not answer is asked again"
_FANOUT = "needs nothing: a fanout exchange delivers to the queues of its own project"
_UNACKED = "needs nothing: each message is claimed by its consumer"
_SQS = "needs nothing: the URL names the store"
_SENTINEL = "the URL names the master: pool+redis+sentinel://HOST1,HOST2/MASTER/0"
_TLS = "give broker_use_ssl, or the options of the store in its URL"
_ACCOUNT = "the URL names user and password"
_DEAD_LETTERS = "give the queue x-dead-letter-exchange"
_REMEDIES = {
    "ack_deadline_seconds": _RENEWED,
    "access_key_id": _ACCOUNT,
    "confirm_publish": "needs nothing: every publish is confirmed",
    "confirm_timeout": "needs nothing: every publish is confirmed",
    "deadletter_queue": _DEAD_LETTERS,
    "failover_strategy": "set broker_failover_strategy",
    "fanout_patterns": _FANOUT,
    "fanout_prefix": _FANOUT,
    "global_keyprefix": "set the option project",
    "heartbeat": "needs nothing: processes that die are noticed, see claim_ttl",
    "is_secure": _SQS,
    "login_method": "set broker_login_method",
    "master_name": _SENTINEL,
    "max_lock_renewal_duration": _RENEWED,
    "max_poll_seconds": _WAKE_UP,
    "min_other_sentinels": _SENTINEL,
    "password": _ACCOUNT,
    "peek_lock_seconds": _RENEWED,
    "poll_interval_ms": _WAKE_UP,
    "polling_interval": _WAKE_UP,
    "predefined_queues": "needs nothing: a queue is created where it is declared",
    "priority_steps": "every queue has the priorities 0 to 255; 0 is the lowest, not the highest as on redis://: set "
    "the option priority_order to 'redis' to keep that order, or to 'amqp'",
    "queue_name_prefix": "set the option project",
    "region": _SQS,
    "retry_on_timeout": _RETRIED,
    "retry_policy": "set task_publish_retry_policy",
    "secret_access_key": _ACCOUNT,
    "sep": "needs nothing: a queue is one, whatever the priorities of its messages",
    "sentinel_kwargs": "pool+redis+sentinel:// heeds its username and password; the URL has options for the others",
    "socket_keepalive": _KEEPALIVE,
    "socket_keepalive_options": _KEEPALIVE,
    "ssl": _TLS,
    "tls": _TLS,
    "ttl": "give the queue x-message-ttl or x-expires",
    "unacked_index_key": _UNACKED,
    "unacked_key": _UNACKED,
    "unacked_mutex_expire": _UNACKED,
    "unacked_mutex_key": _UNACKED,
    "unacked_restore_limit": _UNACKED,
    "userid": _ACCOUNT,
    "virtual_host": "the URL's path names the database or the file",
    "visibility_timeout": _RENEWED,
    "wait_time_seconds": _WAKE_UP,
}
#: The stores whose options belong into a URL, by an example of one.
_STORES = {
    "pool+redis://HOST/0": conf.REDIS,
    "pool+mongodb://HOST/DATABASE": conf.MONGODB,
    "pool+sqlite:///FILE": conf.SQLITE,
}
#: The settings of a connection that have no effect: Kombu's name and Celery's, values that say nothing, the remedy.
_SETTINGS = (
    # The second value is Celery's default.
    ("heartbeat", "broker_heartbeat", (0, 120), _REMEDIES["heartbeat"]),
    (
        "connect_timeout",
        "broker_connection_timeout",
        (5, 4),
        "the store has its own, for its URL: socket_connect_timeout of Redis, connectTimeoutMS of MongoDB",
    ),
    ("login_method", "broker_login_method", (), "needs nothing: the store has its own"),
    ("credential_provider", "no setting", (), _ACCOUNT),
)
_warned: set[tuple[str, str]] = set()


def is_foreign(name: str, ours: Collection[str], where: str) -> bool:
    """Return whether an option is none of ours.

    Raises:
        ConfigurationError: it looks like one of ours that is misspelt.
    """
    if name in ours:
        return False
    plain = str(name).lower().replace("-", "_")
    near = get_close_matches(plain, ours, n=1, cutoff=0.8)
    if near and name not in _REMEDIES:
        known = ", ".join(sorted(ours))
        raise ConfigurationError(f"{where}: no option {name!r}; did you mean {near[0]!r}? Known: {known}")
    return True


def project_of(foreign: Mapping[str, Any]) -> str | None:
    """Return the project that a prefix of queue names stands for; None without one."""
    found = (foreign.get(name) for name in PREFIXES)
    return next((prefix for prefix in found if isinstance(prefix, str) and prefix), None)


def sentinel_options(uri: str, foreign: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the URI of a store with the user and the password of ``sentinel_kwargs``, and whether it had no others."""
    given = foreign.get("sentinel_kwargs")
    parsed = parse(uri)
    if not isinstance(given, dict) or not parsed.scheme.endswith("+sentinel"):
        return uri, False
    named = {f"sentinel_{name}": given[name] for name in ("username", "password") if given.get(name) is not None}
    more = urlencode({name: value for name, value in named.items() if name not in parsed.options})
    if more:
        uri += f"{'&' if '?' in uri else '?'}{more}"
    return uri, len(named) == len(given)


def warn_of(names: Iterable[str], where: str) -> None:
    """Log these options as ones without an effect, each once in a process."""
    _warn({name: _remedy(name) for name in sorted(map(str, names)) if name not in OF_KOMBU}, where)


def warn_of_settings(connection: object) -> None:
    """Log the settings of a Kombu connection that have no effect and differ from a default, each once in a process."""
    given = (
        (f"{name} (in Celery: {setting})", remedy)
        for name, setting, silent, remedy in _SETTINGS
        if (getattr(connection, name, None) or 0) not in (0, *silent)
    )
    _warn(dict(given), "connection")


def _warn(unused: Mapping[str, str], where: str) -> None:
    unnamed = {name: remedy for name, remedy in unused.items() if (where, name) not in _warned}
    if unnamed:
        _warned.update((where, name) for name in unnamed)
        told = "; ".join(f"{name!r}: {remedy}" for name, remedy in unnamed.items())
        logger.warning("%s: without effect on a pool:// broker: %s", where, told)


def _remedy(name: str) -> str:
    found = _REMEDIES.get(name)
    if found is None:
        url = next((url for url, opts in _STORES.items() if any(opt.dest == name for opt in opts)), None)
        found = f"an option of the store, for its URL, as in {url}?{name}=..." if url else "no option of kombu_pool"
    return found
