"""The slot map of a Redis Cluster: which node has which keys."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from redis import exceptions as redis_errors
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from kombu_pool.drivers.redis.error_mapping import CLIENT_ERRORS
from kombu_pool.errors import (
    ConfigurationError,
    ConnectionError,  # noqa: A004 - Zaqar's name for it
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kombu_pool.drivers.redis.location import Address, Location


#: The host of a node that announces names and has none.
UNKNOWN_HOST: Final = b"?"
#: Clusters whose nodes are remembered; the memory is emptied when it is full.
_MAX_CLUSTERS: Final = 100
#: The nodes that each cluster last reported. They outlive the clients, which are closed after an error: the nodes of
#: the URI may all be down when the next one is opened. Each use is one dictionary operation, so it needs no lock.
_reported: dict[Location, tuple[Address, ...]] = {}


def slot_of(key: bytes | str) -> int:
    """Return the number of a key's slot."""
    return int(key_slot(key.encode() if isinstance(key, str) else key))


class SlotRange(NamedTuple):
    """Slots of one master, which is the first of its nodes."""

    first: int
    last: int
    nodes: tuple[Address, ...]


class SlotMap:
    """The owners of the slots, as a node of the cluster last reported them.

    ``fetch_slots`` returns a node's reply to CLUSTER SLOTS, or raises what redis-py does. Any node has the whole map.
    """

    def __init__(self, location: Location, fetch_slots: Callable[[Address], Any]) -> None:
        self._location = location
        self._fetch_slots = fetch_slots
        self._nodes: tuple[Address, ...] = (*location.nodes, *_reported.get(location, ()))
        self._version = 0
        #: Whether no node answered when the map was read last.
        self.is_unreachable = False
        self._owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self.masters: set[Address] = set()
        self.renew_lock()

    def renew_lock(self) -> None:
        """Replace the lock, which a thread of the parent process may have held at the fork."""
        self._lock = threading.Lock()

    def owner(self, slot: int) -> Address:
        """Return the master of a slot.

        Raises:
            ConnectionError: the slot has none, or no node replies.
        """
        if self._owners[slot] is None:
            self._refresh()
        owner = self._owners[slot]
        if owner is None:
            raise ConnectionError(f"{self._location}: no node has slot {slot}")
        return owner

    def known_owner(self, slot: int) -> Address | None:
        """Return the last known master of a slot; None before the first request."""
        return self._owners[slot]

    def moved(self, slot: int, address: Address | None) -> None:
        """Store the new owner of a slot, and refresh the map: other slots may have moved with it.

        Without an address the map alone tells the owner.
        """
        if address is None:
            self._refresh()
        elif self._owners[slot] != address:
            self._refresh(first=address)
            self._owners[slot] = address
            self.masters.add(address)

    def lost(self, address: Address) -> None:
        """Refresh the map after a node did not reply: its slots may have a new owner."""
        self._refresh(last=address)

    def _refresh(self, first: Address | None = None, last: Address | None = None) -> None:
        before = self._version
        with self._lock:
            if self._version == before:
                order = [node for node in (first, *self._nodes) if node and node != last]
                try:
                    self._store(self._fetch([*order, last] if last else order))
                except Exception:
                    self.is_unreachable = True
                    raise
                self.is_unreachable = False
                self._version += 1

    def _store(self, ranges: list[SlotRange]) -> None:
        owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, nodes in ranges:
            owners[first : last + 1] = [nodes[0]] * (last + 1 - first)
        self._owners = owners
        self.masters = {found.nodes[0] for found in ranges}
        # The URI's nodes stay in the list: those that replaced them may all be down later.
        reported = tuple(dict.fromkeys(node for found in ranges for node in found.nodes))
        self._nodes = tuple(dict.fromkeys((*reported, *self._location.nodes)))
        if len(_reported) >= _MAX_CLUSTERS:
            _reported.clear()
        _reported[self._location] = reported

    def _fetch(self, nodes: list[Address]) -> list[SlotRange]:
        """Return the map of the first node that has one."""
        fault: Exception = ConnectionError(f"{self._location}: its nodes have not joined a cluster yet")
        for node in dict.fromkeys(nodes):
            try:
                ranges = _parse(self._fetch_slots(node), node, self._location)
            except CLIENT_ERRORS as error:
                if isinstance(error, redis_errors.ResponseError) and "cluster support disabled" in str(error):
                    raise ConfigurationError(
                        f"{self._location}: {node[0]}:{node[1]} is in no Redis Cluster: write redis://"
                    ) from error
                fault = error
                continue
            if ranges:
                return ranges
        raise fault


def _parse(reply: Any, source: Address, location: Location) -> list[SlotRange]:
    return [
        SlotRange(first, last, tuple(_reported_address(node, source, location) for node in nodes))
        for first, last, *nodes in reply
    ]


def _reported_address(node: Sequence[Any], source: Address, location: Location) -> Address:
    """Return the address of a node of CLUSTER SLOTS: host, port, id and, from Redis 7.0 on, other addresses by kind."""
    host, port, _, *more = node
    if host == UNKNOWN_HOST and more:
        host = dict(zip(more[0][::2], more[0][1::2], strict=True)).get(b"ip")
    return node_address(host, port, source, location)


def node_address(host: bytes | None, port: int, source: Address, location: Location) -> Address:
    """Return the address of a node that ``source`` reported; without a host, that of ``source`` and the port."""
    if not host or host == UNKNOWN_HOST:
        return source[0], int(port)
    return location.reachable((host.decode(), int(port)))
