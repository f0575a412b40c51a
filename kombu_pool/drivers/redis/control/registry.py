"""The pools and flavors in a hash."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from kombu_pool.drivers.redis.control.key_encoding import member
from kombu_pool.drivers.redis.keys import control_key
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
        prefix = client.location.key_prefix
        self._client = client
        self.key = control_key(prefix, "registry")
        #: The key of the number of queues of each pool.
        self.queues = control_key(prefix, "catalogue:queues")

    def read(self) -> tuple[Records, bytes]:
        version, record = self._client.command("HMGET", self.key, "version", "record")
        return decode(record or b""), version or b""

    def replace(self, records: Records, version: bytes, unused: str | None = None) -> bool:
        checked = b"" if unused is None else member(None, unused)
        pools = (member(None, name) for name in records.pools)
        arguments = (version, secrets.token_bytes(8), encode(records), checked, *pools)
        done, queues = self._client.call(_REPLACE, (self.key, self.queues), *arguments)
        if queues:
            raise PoolInUse(unused, queues)
        return bool(done)
