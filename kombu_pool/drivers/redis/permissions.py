"""The check of a user's permissions before the first use.

A script without one of them would fail halfway: Redis undoes nothing, and what the script did before stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from redis import exceptions as redis_errors

from kombu_pool.drivers.redis.keys import store_key
from kombu_pool.errors import ConfigurationError

if TYPE_CHECKING:
    from kombu_pool.drivers.redis.location import Location

_KEYS = ("get", "set", "exists", "del", "unlink", "pexpire", "persist")
_HASHES = (
    "hget",
    "hmget",
    "hset",
    "hsetnx",
    "hdel",
    "hexists",
    "hlen",
    "hkeys",
    "hvals",
    "hgetall",
    "hincrby",
    "hstrlen",
    "hrandfield",
    "hscan",
)
_SCORES = ("zadd", "zrem", "zcard", "zscore", "zmscore", "zlexcount")
_RANGES = ("zrange", "zrangebylex", "zrevrangebylex", "zrangebyscore", "zremrangebyrank")
_SETS = ("sadd", "srem", "srandmember")
#: Commands that every user needs.
COMMANDS: Final = ("evalsha", "time", *_KEYS, *_HASHES, *_SCORES, *_RANGES, *_SETS)
#: Commands that wake consumers, without a cluster and in one.
WAKING, CLUSTER_WAKING = ("llen", "lpush", "blpop"), ("publish", "subscribe")

# Redis 7.0 and newer. Each argument is given as a key, as a command may have several.
_CHECK = b"""
if not redis.acl_check_cmd then return {} end
local missing = {}
for index = 2, #ARGV do
  local known, may = pcall(redis.acl_check_cmd, ARGV[index], ARGV[1], ARGV[1], ARGV[1])
  if known and not may then missing[#missing + 1] = ARGV[index] end
end
return missing
"""


def permission_check(location: Location) -> tuple[Any, ...]:
    """Return the command that checks the permissions."""
    return ("EVAL", _CHECK, "0", store_key(location.key_prefix, "permissions"), *_needed(location))


def require_permissions(reply: Any, location: Location) -> None:
    """Refuse a user without some of the permissions, given the reply to :func:`permission_check`.

    A user without any of them, without that of ``EVAL`` or for our keys is told by the commands themselves.

    Raises:
        ConfigurationError: permissions are missing.
    """
    if isinstance(reply, redis_errors.NoPermissionError):
        return
    if isinstance(reply, Exception):
        raise reply
    missing = [name.decode() for name in reply]
    if missing and len(missing) < len(_needed(location)):
        user = location.username or "default"
        raise ConfigurationError(
            f"{location}: the user {user!r} lacks permissions: "
            f"ACL SETUSER {user} {' '.join(f'+{name}' for name in missing)}"
        )


def _needed(location: Location) -> tuple[str, ...]:
    waking = CLUSTER_WAKING if location.is_cluster_node else WAKING
    return (*COMMANDS, *waking, *(("wait",) if location.min_replicas else ()))
