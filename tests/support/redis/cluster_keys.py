"""Keys, nodes and connections of a test cluster."""

from __future__ import annotations

import hashlib

from kombu_pool.drivers.redis.cluster_slots import slot_of
from kombu_pool.drivers.redis.keys import queue_keys
from kombu_pool.drivers.redis.scripts import Script


def script_of(text, *, repeatable=True, replicated=True):
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Script("test", sha.encode(), text.encode(), repeatable, replicated)


APPEND = script_of("redis.call('APPEND', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])", repeatable=False)
READ = script_of("return {redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])}", replicated=False)


def keys_of(number=0):
    """Return two keys of one slot."""
    return queue_keys("test", None, f"queue-{number}")[:2]


def owner_of(cluster, key):
    return cluster.owner(slot_of(key))


def other_than(cluster, node):
    return next(other for other in cluster.nodes if other is not node)


def keys_by_node(cluster):
    """Return one key for each node."""
    found = {}
    for number in range(100):
        (key, _) = keys_of(number)
        found.setdefault(owner_of(cluster, key).port, key)
    return list(found.values())


def connections(node, part=""):
    """Return the names of our connections to a node."""
    names = (line.get("name", "") for line in node.ask("CLIENT LIST"))
    return [name for name in names if name.startswith(f"kombu-pool:{part}")]
