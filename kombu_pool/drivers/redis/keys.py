"""The names of the keys. Those of one queue share one hash tag, so that a Redis Cluster keeps them on one node."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from kombu_pool.model import Project


def project_key(project: Project) -> str:
    """Return the stored form of a project: None differs from every string, and it holds no brace and no slash."""
    return "" if project is None else f"={quote(project, safe='', errors='surrogatepass')}"


def project_of(key: str) -> Project:
    """Return the project of its stored form."""
    return unquote(key[1:], errors="surrogatepass") if key else None


def name_bytes(name: str) -> bytes:
    """Return a name as it is stored, whatever characters it holds."""
    return name.encode("utf-8", "surrogatepass")


def name_of(stored: bytes) -> str:
    """Return a name from its stored form."""
    return stored.decode("utf-8", "surrogatepass")


#: Part of the store's key for the queues that may have dead letters to forward.
QUEUES_WITH_DEAD = "queues_with_dead"


class QueueKeys(NamedTuple):
    """The keys of one queue.

    ``queue`` hash: the metadata and what scripts need of it, the incarnation, the last message's number, the next
    deadline, whether it is paused, for each producer its last post, and of moves into it the last message's number, the
    epoch and the last batch. ``records`` hash: message -> record. ``free``
    zset: messages in order. ``delayed`` zset: message by the end of its delay. ``expiring`` zset: message by its
    expiry. ``claimed`` zset: message and claim, in order. ``claim_ends`` zset: claim by its end. ``claims`` hash: claim
    -> start, ttl, tag of its holder, and messages; claim and # -> how many of them it still holds. ``claim_counts``
    hash: message -> number of its ended claims, and the last one. ``message_keys`` hash: message -> its key. ``by_key``
    zset: key and message. ``wakeup`` list: one entry while a free message has woken no watch. ``subscriptions`` hash.
    ``dead`` zset: number of the death and message, by the end of the reservation. ``dead_letters`` hash: the same ->
    reason and record. ``aside`` hash: message that is put aside for a move -> its place, state and record; and the
    unique ids that these hold. ``deletions`` list: a token of the queue's deletion, until the waiting watches know of
    it, or for a second.
    """

    queue: bytes
    records: bytes
    free: bytes
    delayed: bytes
    expiring: bytes
    claimed: bytes
    claim_ends: bytes
    claims: bytes
    claim_counts: bytes
    message_keys: bytes
    by_key: bytes
    wakeup: bytes
    subscriptions: bytes
    dead: bytes
    dead_letters: bytes
    aside: bytes
    deletions: bytes


@lru_cache(maxsize=16384)
def queue_keys(prefix: str, project: Project, name: str) -> QueueKeys:
    """Return the keys of a queue."""
    tag = f"{prefix}:{{{project_key(project)}/{quote(name, safe='', errors='surrogatepass')}}}"
    return QueueKeys(*(f"{tag}:{part}".encode() for part in QueueKeys._fields))


class KeySets(NamedTuple):
    """The keys of one queue, and the lists of them that scripts take.

    The order of ``states``, ``dead_lettering`` and ``moving`` is that of ``lua/include/queue.lua``,
    ``dead_letters.lua`` and ``aside.lua``; the order of ``posting`` and ``acking`` is that of the heads of ``post.lua``
    and ``ack.lua``.
    """

    queue: bytes
    records: bytes
    free: bytes
    delayed: bytes
    expiring: bytes
    claimed: bytes
    message_keys: bytes
    by_key: bytes
    wakeup: bytes
    aside: bytes
    deletions: bytes
    every: tuple[bytes, ...]
    states: tuple[bytes, ...]
    posting: tuple[bytes, ...]
    acking: tuple[bytes, ...]
    dead_lettering: tuple[bytes, ...]
    moving: tuple[bytes, ...]


@lru_cache(maxsize=16384)
def key_sets(prefix: str, project: Project, name: str, is_cluster: bool) -> KeySets:
    """Return the keys of a queue. A script in a Redis Cluster has no wake-up list and none of the store's keys."""
    keys = queue_keys(prefix, project, name)
    wakeup = () if is_cluster else (keys.wakeup,)
    states = keys[: keys.index(keys.wakeup)]
    queues_with_dead = () if is_cluster else (store_key(prefix, QUEUES_WITH_DEAD),)
    return KeySets(
        keys.queue,
        keys.records,
        keys.free,
        keys.delayed,
        keys.expiring,
        keys.claimed,
        keys.message_keys,
        keys.by_key,
        keys.wakeup,
        keys.aside,
        keys.deletions,
        every=tuple(keys),
        states=(*states, *wakeup),
        posting=(*keys[: keys.index(keys.claimed)], keys.message_keys, keys.by_key, *wakeup),
        acking=states[1:],
        dead_lettering=(*states, keys.dead, keys.dead_letters, *wakeup, *queues_with_dead),
        moving=(*states, keys.dead, keys.aside, *wakeup),
    )


def scope_of(prefix: str, queue: bytes) -> tuple[Project, str]:
    """Return the project and the name of a queue by its key ``queue``."""
    project, _, name = queue.decode()[len(prefix) + 2 : -len("}:queue")].partition("/")
    return project_of(project), unquote(name, errors="surrogatepass")


@lru_cache(maxsize=256)
def store_key(prefix: str, part: str) -> bytes:
    """Return a key of the message store as a whole."""
    return f"{prefix}:{{store}}:{part}".encode()


@lru_cache(maxsize=256)
def control_key(prefix: str, part: str) -> bytes:
    """Return a key of the control plane. All of them share one hash tag, so that a script may use several."""
    return f"{prefix}:{{control}}:{part}".encode()


#: The parts of the keys that the scripts on the holders of queues take, in the order of ``lua/include/consumers.lua``.
_HOLDERS = tuple(
    f"consumers:{part}" for part in ("lifetimes", "last_used", "may_expire", "holders", "held_queues", "holder_ends")
)


#: The parts of those that the scripts on the lives of queues take besides.
_LIVES = (
    *("catalogue", "catalogue:names", "catalogue:deleting", "catalogue:moves", "catalogue:queues"),
    *("registry", "counters"),
)


class ControlKeys(NamedTuple):
    """The keys of the control plane that have to do with the lives of queues; a queue or a pool is a member.

    ``catalogue`` hash: queue -> its assignment. ``names`` zset: assigned queues by name, without those that are
    DELETING. ``deleting`` set: those. ``moves`` set: queues with a move. ``pool_queues`` hash: pool -> number of its
    queues. ``registry`` hash: the pools and flavors. ``counters`` hash: queue -> the sums of its counters. ``holders``:
    the keys of the scripts on holders. ``lives``: all keys, in the order of ``lua/include/lives.lua``.
    """

    catalogue: bytes
    names: bytes
    deleting: bytes
    moves: bytes
    pool_queues: bytes
    registry: bytes
    counters: bytes
    holders: tuple[bytes, ...]
    lives: tuple[bytes, ...]


@lru_cache(maxsize=256)
def control_keys(prefix: str) -> ControlKeys:
    """Return those keys."""
    catalogue, names, deleting, moves, pool_queues, registry, counters = (control_key(prefix, part) for part in _LIVES)
    holders = tuple(control_key(prefix, part) for part in _HOLDERS)
    records = (control_key(prefix, "queues"), control_key(prefix, "queues:names"))
    lives = (*holders, catalogue, names, deleting, pool_queues, *records, registry, counters, moves)
    return ControlKeys(catalogue, names, deleting, moves, pool_queues, registry, counters, holders, lives)
