"""A private Redis Cluster for a test."""

from __future__ import annotations

import functools
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import redis

from tests.support.limits import LIMIT
from tests.support.servers.ports import free_port
from tests.support.servers.redis_server import Server
from tests.support.servers.waiting import first_answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from tests.support.servers.redis_server import Option

SLOTS = 16384
#: Milliseconds without an answer after which a node counts as failed; long enough for a busy machine.
_NODE_TIMEOUT = 5000
_BATCH = 1000
_MIGRATION_TIMEOUT = 30_000


class Node(Server):
    """A master of the cluster."""

    @functools.cached_property
    def id(self) -> str:
        return self.ask("CLUSTER MYID").decode()

    def _defaults(self) -> dict[str, Option]:
        self.bus_port = free_port()
        cluster = {"cluster-enabled": "yes", "cluster-port": self.bus_port, "cluster-node-timeout": _NODE_TIMEOUT}
        return {**super()._defaults(), **cluster}


class Cluster:
    """Three masters without replicas, each with a third of the slots. Ready when constructed."""

    def __init__(self, **options: Option) -> None:
        self._stack = ExitStack()
        with ExitStack() as stack:
            self.nodes = [stack.enter_context(Node(**options)) for _ in range(3)]
            self._assign()
            self._introduce()
            self.wait_until_ready()
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def uri(self) -> str:
        return "redis+cluster://" + ",".join(node.address for node in self.nodes)

    def client(self) -> redis.RedisCluster:
        """Return a redis-py client, which is closed when the cluster stops."""
        client = redis.RedisCluster(host="127.0.0.1", port=self._any_node().port, socket_timeout=LIMIT)
        self._stack.callback(client.close)
        return client

    def wait_until_ready(self) -> None:
        """Wait until all nodes know one another and every slot has a node."""
        first_answer(lambda: all(map(self._is_ready, self.nodes)), why=self._describe)

    def slot_of(self, key: str) -> int:
        return self._any_node().ask("CLUSTER KEYSLOT", key)

    def owner(self, slot: int) -> Node:
        """Return the node that has the slot."""
        ranges = self._any_node().ask("CLUSTER SLOTS")
        port = next(master[1] for first, last, master, *_ in ranges if first <= slot <= last)
        return next(node for node in self.nodes if node.port == port)

    @contextmanager
    def moving(self, slot: int, to: Node) -> Iterator[None]:
        """Keep the slot in migration within this context: its keys stay, new ones go to ``to``."""
        source = self.owner(slot)
        _set_slot(to, slot, "IMPORTING", source.id)
        _set_slot(source, slot, "MIGRATING", to.id)
        yield
        _move_keys(source, slot, to)
        for node in dict.fromkeys([to, source, *self.nodes]):
            _set_slot(node, slot, "NODE", to.id)

    def move(self, slot: int, to: Node) -> None:
        """Move the slot, with its keys, to another node."""
        with self.moving(slot, to):
            pass

    def stop(self) -> None:
        self._stack.close()

    def _assign(self) -> None:
        bounds = [round(SLOTS * number / len(self.nodes)) for number in range(len(self.nodes) + 1)]
        for epoch, node in enumerate(self.nodes, start=1):
            node.ask("CLUSTER SET-CONFIG-EPOCH", epoch)
            node.ask("CLUSTER ADDSLOTSRANGE", bounds[epoch - 1], bounds[epoch] - 1)

    def _introduce(self) -> None:
        first, *others = self.nodes
        for node in others:
            first.ask("CLUSTER MEET", "127.0.0.1", node.port, node.bus_port)

    def _is_ready(self, node: Node) -> bool:
        state = node.ask("CLUSTER INFO")
        return state["cluster_state"] == "ok" and int(state["cluster_known_nodes"]) == len(self.nodes)

    def _describe(self) -> str:
        return "\n".join(f"{node.address}: {node.ask('CLUSTER INFO')}" for node in self.nodes if node.runs)

    def _any_node(self) -> Node:
        return next(node for node in self.nodes if node.runs)


def _set_slot(node: Node, slot: int, state: str, other: str) -> None:
    node.ask("CLUSTER SETSLOT", slot, state, other)


def _move_keys(source: Node, slot: int, to: Node) -> None:
    while keys := source.ask("CLUSTER GETKEYSINSLOT", slot, _BATCH):
        source.ask("MIGRATE", "127.0.0.1", to.port, "", 0, _MIGRATION_TIMEOUT, "KEYS", *keys)
