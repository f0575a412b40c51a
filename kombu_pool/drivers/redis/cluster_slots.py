"""Which node of a Redis Cluster has which keys."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from redis import exceptions as redis_errors
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from kombu_pool.drivers.redis.error_mapping import FAULTS
from kombu_pool.errors import (
    ConfigurationError,
    ConnectionError,  # noqa: A004 - Zaqar's name for it
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.drivers.redis.location import Address, Location


def slot_of(key: bytes | str) -> int:
    """Return the number of the slot that a key is in."""
    return int(key_slot(key.encode() if isinstance(key, str) else key))


class Range(NamedTuple):
    """Slots that one master has, which comes first among its nodes."""

    first: int
    last: int
    nodes: tuple[Address, ...]


class Slots:
    """What the cluster said last of who has which slot.

    ``ask`` returns a node's answer to CLUSTER SLOTS, or raises what redis-py does. Any node may be asked.
    """

    def __init__(self, location: Location, ask: Callable[[Address], Any]) -> None:
        self._location = location
        self._ask = ask
        self._known: tuple[Address, ...] = location.nodes
        self._learned = 0
        self._note([])
        self.renew_lock()

    def renew_lock(self) -> None:
        """Replace the lock, which a thread of the parent process may have held at the fork."""
        self._lock = threading.Lock()

    def owner(self, slot: int) -> Address:
        """Return the node that has a slot.

        Raises:
            ConnectionError: nobody has it, or no node answers.
        """
        if self._owners[slot] is None:
            self._learn()
        owner = self._owners[slot]
        if owner is None:
            raise ConnectionError(f"{self._location}: no node has slot {slot}")
        return owner

    def moved(self, slot: int, address: Address) -> None:
        """Note who has a slot now. Where one has moved, others may have."""
        if self._owners[slot] != address:
            self._learn(first=address)
            self._owners[slot] = address
            self.masters.add(address)

    def lost(self, address: Address) -> None:
        """Note that a node does not answer: another one may have its slots by now."""
        self._learn(last=address)

    def _learn(self, first: Address | None = None, last: Address | None = None) -> None:
        before = self._learned
        with self._lock:
            if self._learned == before:
                order = [node for node in (first, *self._known) if node and node != last]
                self._note(self._ranges([*order, last] if last else order))
                self._learned += 1

    def _note(self, ranges: list[Range]) -> None:
        owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, nodes in ranges:
            owners[first : last + 1] = [nodes[0]] * (last + 1 - first)
        self._owners = owners
        self.masters = {found.nodes[0] for found in ranges}
        # The nodes of the URI may all have been replaced since, and those that replaced them be away for a while.
        known = [node for found in ranges for node in found.nodes]
        self._known = tuple(dict.fromkeys((*known, *self._location.nodes)))

    def _ranges(self, nodes: list[Address]) -> list[Range]:
        """Return what the first node says that knows something."""
        fault: Exception = ConnectionError(f"{self._location}: its nodes are in no cluster yet")
        for node in dict.fromkeys(nodes):
            try:
                ranges = _read(self._ask(node), node)
            except FAULTS as error:
                if isinstance(error, redis_errors.ResponseError) and "cluster support disabled" in str(error):
                    raise ConfigurationError(f"{self._location}: {node[0]}:{node[1]} is in no Redis Cluster") from error
                fault = error
                continue
            if ranges:
                return ranges
        raise fault


def _read(answer: Any, asked: Address) -> list[Range]:
    return [
        Range(first, last, tuple(named(host, port, asked) for host, port, *_ in nodes))
        for first, last, *nodes in answer
    ]


def named(host: bytes | None, port: int, by: Address) -> Address:
    """Return the address of a node that another one named; without a host it is the one at which we asked."""
    return (host or b"").decode() or by[0], int(port)
