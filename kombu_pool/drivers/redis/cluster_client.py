"""The link to a Redis Cluster: each node has a link of its own, and what a node says of where the keys are is followed.

The cluster client of redis-py is not in between: it takes three times as long for a call, and WAIT has to follow a
write on its connection.
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hiredis import pack_command
from redis import exceptions as redis_errors

from kombu_pool.drivers.redis.client import Link
from kombu_pool.drivers.redis.cluster_slots import Slots, named, slot_of
from kombu_pool.drivers.redis.connection import ask, ask_all
from kombu_pool.drivers.redis.error_mapping import FAULTS, translated, word_of
from kombu_pool.errors import (
    ConnectionError,  # noqa: A004 - Zaqar's name for it
    KombuPoolError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from redis import Connection

    from kombu_pool.drivers.redis.connection import Wire
    from kombu_pool.drivers.redis.location import Address, Location
    from kombu_pool.drivers.redis.scripts import Script

_LOST = (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)
#: How often a call goes to another node at once; after that the nodes are given time to agree.
_HOPS: Final = 4
_PAUSE: Final = 0.02
_REDIRECTIONS = {"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"}


class ClusterLink(Link):
    """Runs scripts and commands on the nodes that have their keys, with ``max_connections`` to each node."""

    is_cluster = True

    def __init__(self, location: Location) -> None:
        self._nodes: dict[Address, Link] = {}
        self._slots = Slots(location, self._ask_slots)
        super().__init__(location)

    def commands(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        keyed = [(command[1], command) for command in commands]
        return self._spread(keyed, lambda index: self.command(*commands[index]))

    def calls(self, script: Script, each: Sequence[tuple[Sequence[bytes], Sequence[Any]]]) -> list[Any]:
        keyed = [(keys[0], ("EVALSHA", script.sha, len(keys), *keys, *args)) for keys, args in each]
        return self._spread(keyed, lambda index: self.call(script, each[index][0], *each[index][1]))

    @contextmanager
    def waiting(self, key: bytes) -> Iterator[Wire]:
        with translated(self.location):
            address = self._slots.owner(slot_of(key))
            try:
                with self._node(address).waiting(key) as wire:
                    yield wire
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

    def _use(self, key: bytes | str, work: Callable[[Connection], Any], *, again: bool) -> Any:
        with translated(self.location):
            return self._send(slot_of(key), _Errand(work), again=again)

    def _send(self, slot: int, errand: _Errand, *, again: bool) -> Any:
        """Go to the node that has the slot, and on to where it says."""
        address = self._slots.owner(slot)
        until = time.monotonic() + self.location.socket_timeout
        for hop in itertools.count(1):
            if hop > _HOPS:
                time.sleep(_PAUSE)
            try:
                return self._node(address).lend(errand, again=again)
            except KombuPoolError:
                raise
            except redis_errors.ResponseError as error:
                if time.monotonic() > until:
                    raise
                address = self._redirected(slot, address, errand, error)
            except _LOST:
                self._slots.lost(address)
                lost, address = address, self._slots.owner(slot)
                if address == lost or hop > _HOPS or (errand.begun and not again):
                    raise
        raise AssertionError  # pragma: no cover - there is always one more

    def _redirected(self, slot: int, address: Address, errand: _Errand, error: redis_errors.ResponseError) -> Address:
        """Return where to go on, if a node answered that it did nothing; raises the error if it is another one."""
        word = word_of(error)
        if word not in _REDIRECTIONS:
            raise error
        errand.begun, errand.asking = False, word == "ASK"
        if word == "ASK":
            return _target(error, address)
        if word == "MOVED":
            self._slots.moved(slot, _target(error, address))
        elif word == "TRYAGAIN":
            time.sleep(_PAUSE)
        else:
            # Is it the cluster that is down, or was this node dismissed while the others go on?
            self._slots.lost(address)
            if self._slots.owner(slot) == address:
                raise error
        return self._slots.owner(slot)

    def _spread(self, keyed: Sequence[tuple[bytes, tuple[Any, ...]]], singly: Callable[[int], Any]) -> list[Any]:
        """Run commands, in one round trip for each node, and those again singly that did not go well."""
        groups: dict[Address, list[int]] = defaultdict(list)
        with translated(self.location):
            for index, (key, _) in enumerate(keyed):
                groups[self._slots.owner(slot_of(key))].append(index)
        answers: dict[int, Any] = {}
        for address, indexes in groups.items():
            together = partial(ask_all, commands=[keyed[index][1] for index in indexes])
            with suppress(*FAULTS):
                answers.update(zip(indexes, self._node(address).lend(together, again=True), strict=True))
        return [answers[index] if index in answers else singly(index) for index in range(len(keyed))]

    # Nodes.

    def _node(self, address: Address) -> Link:
        found = self._nodes.get(address)
        return found if found is not None else self._new_node(address)

    def _new_node(self, address: Address) -> Link:
        for other, node in list(self._nodes.items()):
            if other not in self._slots.masters:
                self._nodes.pop(other, None)
                node.close()
        host, port = address
        text = f"{self.location} ({host}:{port})"
        node = self._nodes.setdefault(
            address, Link(replace(self.location, scheme="redis", nodes=(address,), text=text))
        )
        if self._closed:
            node.close()
        return node

    def _ask_slots(self, address: Address) -> Any:
        return self._node(address).lend(lambda connection: ask(connection, ("CLUSTER", "SLOTS")), again=False)


class _Errand:
    """What is to be done with a connection, and whether it was begun."""

    def __init__(self, work: Callable[[Connection], Any]) -> None:
        self._work = work
        self.begun = False
        self.asking = False

    def __call__(self, connection: Any) -> Any:
        self.begun = True
        return self._work(_Asking(connection) if self.asking else connection)


_ASKING = pack_command(("ASKING",))


class _Asking:
    """A connection to a node that is about to get the slot: each command has to ask for being let in."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.can_read = connection.can_read

    def send_packed_command(self, commands: Sequence[bytes], check_health: bool) -> None:
        parts = [part for command in commands for part in (_ASKING, command)]
        self._connection.send_packed_command(parts, check_health=check_health)

    def read_response(self) -> Any:
        try:
            self._connection.read_response()
        finally:
            # Read in any case: the next one to use the connection must not find it.
            answer = self._connection.read_response()
        return answer


def _target(redirection: redis_errors.ResponseError, by: Address) -> Address:
    """Return the node of a redirection, which ends in ``HOST:PORT``."""
    host, _, port = str(redirection).rpartition(" ")[2].rpartition(":")
    return named(host.encode(), int(port), by)
