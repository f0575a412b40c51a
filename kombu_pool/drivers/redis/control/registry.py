"""The pools and flavors in a hash."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from kombu_pool.drivers.redis.control.key_encoding import member
from kombu_pool.drivers.redis.keys import control_keys
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.drivers.registry import Records, decode, encode
from kombu_pool.drivers.registry import Registry as Contract
from kombu_pool.errors import PoolInUse

if TYPE_CHECKING:
    from kombu_pool.drivers.redis.client import Client

_REPLACE = script("control/replace_registry", repeatable=True)


class Registry(Contract[bytes]):
    """The record of all pools and flavors; its version is random, so that a lost answer can be repeated.

    The hash has a field for each pool, too: the script that assigns a queue checks that its pool exists.
    """

    def __init__(self, client: Client) -> None:
        keys = control_keys(client.location.key_prefix)
        self._client = client
        self._key, self._pool_queues = keys.registry, keys.pool_queues

    def read(self) -> tuple[Records, bytes]:
        version, record = self._client.command("HMGET", self._key, "version", "record")
        return decode(record or b""), version or b""

    def replace(self, records: Records, version: bytes, unused: str | None = None) -> bool:
        checked = b"" if unused is None else member(None, unused)
        pools = (member(None, name) for name in records.pools)
        arguments = (version, secrets.token_bytes(8), encode(records), checked, *pools)
        done, queues = self._client.call(_REPLACE, (self._key, self._pool_queues), *arguments)
        if queues:
            raise PoolInUse(unused, queues)
        return bool(done)

    def require_unused(self, name: str) -> None:
        queues = self._client.command("HGET", self._pool_queues, member(None, name))
        if queues is not None:
            raise PoolInUse(name, int(queues))
