"""The client of a Redis Cluster: one client for each node, and the redirections of the nodes are followed.

The cluster client of redis-py is not in between: it takes three times as long for a call, and WAIT has to follow a
write on its connection.
"""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hiredis import pack_command
from redis import exceptions as redis_errors

from kombu_pool.drivers.redis import node_outages
from kombu_pool.drivers.redis.client import Client
from kombu_pool.drivers.redis.cluster_slots import UNKNOWN_HOST, SlotMap, node_address, slot_of
from kombu_pool.drivers.redis.connection import execute, execute_all
from kombu_pool.drivers.redis.error_mapping import CLIENT_ERRORS, error_code, translated
from kombu_pool.drivers.redis.location import CLUSTER_NODE
from kombu_pool.errors import (
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    KombuPoolError,
    PartUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import redis

    from kombu_pool.drivers.redis.connection import Connection
    from kombu_pool.drivers.redis.location import Address, Location
    from kombu_pool.drivers.redis.scripts import Script

_CONNECTION_ERRORS = (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)
#: Pause before a node is asked again, in seconds: the nodes are given time to agree.
_REDIRECTION_PAUSE: Final = 0.02
_REDIRECTIONS = {"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"}


class ClusterClient(Client):
    """Runs scripts and commands on the nodes that have their keys, with ``max_connections`` to each node."""

    is_cluster = True

    def __init__(self, location: Location) -> None:
        self._nodes: dict[Address, Client] = {}
        self._slots = SlotMap(location, self._fetch_slots)
        super().__init__(location)

    def commands(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        keyed = [(command[1], command) for command in commands]
        return self._run_by_node(keyed, lambda index: self.command(*commands[index]))

    def calls(self, script: Script, each: Sequence[tuple[Sequence[bytes], Sequence[Any]]]) -> list[Any]:
        return self._run_by_node(_keyed(script, each), lambda index: self.call(script, each[index][0], *each[index][1]))

    def calls_where_reachable(self, script: Script, each: Sequence[tuple[Sequence[bytes], Sequence[Any]]]) -> list[Any]:
        unreachable = set()

        def call(index: int) -> Any:
            keys, args = each[index]
            node = self.node_of(keys[0])
            if node not in unreachable:  # each attempt takes a while
                with suppress(PartUnavailable):
                    return self.call(script, keys, *args)
                unreachable.add(node)
            return None

        return self._run_by_node(_keyed(script, each), call)

    def node_of(self, key: bytes) -> str | None:
        owner = self._slots.known_owner(slot_of(key))
        return None if owner is None else _name(owner)

    @contextmanager
    def blocking_connection(self, key: bytes) -> Iterator[Connection]:
        with self.errors_of_node(key):
            address = self._slots.owner(slot_of(key))
            try:
                with self._node(address).blocking_connection(key) as connection:
                    yield connection
            except ConnectionError:
                self._slots.lost(address)
                raise

    def close(self) -> None:
        self._closed = True
        for node in list(self._nodes.values()):
            node.close()

    def renew_lock(self) -> None:
        super().renew_lock()
        self._slots.renew_lock()

    def _use_unchecked(self, key: bytes | str, work: Callable[[redis.Connection], Any], *, retry: bool) -> Any:
        try:
            with self.errors_of_node(key):
                result = self._send(slot_of(key), _Attempt(work), retry=retry)
        except PartUnavailable as error:
            node_outages.begin(str(self.location), error.part, error.reason)
            raise
        if node_outages.current:
            self._end_outages(slot_of(key))
        return result

    def _end_outages(self, slot: int) -> None:
        owner = self._slots.known_owner(slot)
        if owner is not None:
            node_outages.end(str(self.location), _name(owner), {_name(master) for master in self._slots.masters})

    @contextmanager
    def errors_of_node(self, key: bytes | str) -> Iterator[None]:
        try:
            with translated(self.location):
                yield
        except ConnectionError as error:
            owner = self._slots.known_owner(slot_of(key))
            if owner is None or self._slots.is_unreachable or isinstance(error, PartUnavailable):
                raise
            why = str(error).removeprefix(f"{self.location}: ")
            raise PartUnavailable(_name(owner), why) from error

    def _send(self, slot: int, attempt: _Attempt, *, retry: bool) -> Any:
        """Run it on the owner of the slot, and follow redirections."""
        address = self._slots.owner(slot)
        until = time.monotonic() + self.location.socket_timeout
        asked: set[Address] = set()
        while True:
            if address in asked:
                time.sleep(_REDIRECTION_PAUSE)
                asked.clear()
            asked.add(address)
            try:
                return self._node(address).with_connection(attempt, retry=retry)
            except KombuPoolError:
                raise
            except redis_errors.ResponseError as error:
                if time.monotonic() > until:
                    raise
                address = self._redirected(slot, address, attempt, error)
            except _CONNECTION_ERRORS:
                self._slots.lost(address)
                lost, address = address, self._slots.owner(slot)
                if address == lost or time.monotonic() > until or (attempt.is_started and not retry):
                    raise

    def _redirected(self, slot: int, address: Address, attempt: _Attempt, error: redis_errors.ResponseError) -> Address:
        """Return the next node for a command that was not executed here; raise any other error."""
        code = error_code(error)
        if code not in _REDIRECTIONS:
            raise error
        attempt.is_started, attempt.is_asking = False, code == "ASK"
        if code == "ASK":
            return node_address(*_target(error), address, self.location)
        if code == "MOVED":
            host, port = _target(error)
            known = host != UNKNOWN_HOST
            self._slots.moved(slot, node_address(host, port, address, self.location) if known else None)
        elif code == "CLUSTERDOWN":
            # Either the cluster is down, or only this node, which was removed from it.
            self._slots.lost(address)
            if self._slots.owner(slot) == address:
                raise error
        return self._slots.owner(slot)

    def _run_by_node(self, keyed: Sequence[tuple[bytes, tuple[Any, ...]]], run_one: Callable[[int], Any]) -> list[Any]:
        """Run commands in one round trip for each node, and repeat one by one those of a node that failed."""
        self._require_layout()
        groups: dict[Address, list[int]] = defaultdict(list)
        with translated(self.location):
            for index, (key, _) in enumerate(keyed):
                groups[self._slots.owner(slot_of(key))].append(index)
        replies: dict[int, Any] = {}
        for address, indexes in groups.items():
            run_all = partial(execute_all, commands=[keyed[index][1] for index in indexes])
            with suppress(*CLIENT_ERRORS):
                replies.update(zip(indexes, self._node(address).with_connection(run_all, retry=True), strict=True))
        return [replies[index] if index in replies else run_one(index) for index in range(len(keyed))]

    # Nodes.

    def _node(self, address: Address) -> Client:
        found = self._nodes.get(address)
        return found if found is not None else self._new_node(address)

    def _new_node(self, address: Address) -> Client:
        for other, node in list(self._nodes.items()):
            if other not in self._slots.masters:
                self._nodes.pop(other, None)
                node.close()
        host, port = address
        text = f"{self.location} ({host}:{port})"
        node = self._nodes.setdefault(
            address, Client(replace(self.location, scheme=CLUSTER_NODE, nodes=(address,), text=text))
        )
        if self._closed:
            node.close()
        return node

    def _fetch_slots(self, address: Address) -> Any:
        return self._node(address).with_connection(lambda raw: execute(raw, ("CLUSTER", "SLOTS")), retry=False)


def _keyed(
    script: Script, each: Sequence[tuple[Sequence[bytes], Sequence[Any]]]
) -> list[tuple[bytes, tuple[Any, ...]]]:
    return [(keys[0], ("EVALSHA", script.sha, len(keys), *keys, *args)) for keys, args in each]


def _name(address: Address) -> str:
    return f"{address[0]}:{address[1]}"


class _Attempt:
    """Work for a connection, and whether it was started."""

    def __init__(self, work: Callable[[redis.Connection], Any]) -> None:
        self._work = work
        self.is_started = False
        self.is_asking = False

    def __call__(self, raw: Any) -> Any:
        self.is_started = True
        return self._work(_AskingConnection(raw) if self.is_asking else raw)


_ASKING = pack_command(("ASKING",))


class _AskingConnection:
    """A connection to a node that is importing the slot: each command must follow an ASKING."""

    def __init__(self, raw: redis.Connection) -> None:
        self._raw = raw
        self.can_read = raw.can_read

    def send_packed_command(self, commands: Sequence[bytes], check_health: bool) -> None:
        parts = [part for command in commands for part in (_ASKING, command)]
        self._raw.send_packed_command(parts, check_health=check_health)

    def read_response(self) -> Any:
        try:
            self._raw.read_response()
        finally:
            # Read in any case, so that the next user of the connection does not find it.
            reply = self._raw.read_response()
        return reply


def _target(redirection: redis_errors.ResponseError) -> tuple[bytes, int]:
    """Return the host and the port of a redirection, which ends in ``HOST:PORT``."""
    host, _, port = str(redirection).rpartition(" ")[2].rpartition(":")
    return host.encode(), int(port)
