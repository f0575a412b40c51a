"""The names of the keys. Those of one queue bear one hash tag, so that a Redis Cluster keeps them on one node."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from kombu_pool.model import Project


def project_key(project: Project) -> str:
    """Return the stored form of a project: None differs from every string, and no brace or slash is in it."""
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


#: The part of the store's key in which the queues are that may have something to bury.
DYING = "dying"


class QueueKeys(NamedTuple):
    """The keys of one queue.

    ``queue`` hash: metadata, what of it scripts heed, the last message's number, the next deadline, and for each poster
    the last post that he made. ``records`` hash: message -> record. ``free`` zset: messages in order. ``delayed`` zset:
    message by the end of its delay. ``expiring`` zset: message by its expiry. ``claimed`` zset: message and claim, in
    order. ``claims`` zset: claim by its end. ``leases`` hash: claim -> since when, for how long, and which messages it
    was given. ``lent`` hash: message -> how often it came back from a claim, and from which. ``bell`` list: one entry
    while there is something to claim that nobody was woken for. ``subscriptions`` hash. ``dead`` zset: the number of a
    death and the message, by the end of its parking. ``letters`` hash: the same -> why, and its record.
    """

    queue: bytes
    records: bytes
    free: bytes
    delayed: bytes
    expiring: bytes
    claimed: bytes
    claims: bytes
    leases: bytes
    lent: bytes
    bell: bytes
    subscriptions: bytes
    dead: bytes
    letters: bytes


@lru_cache(maxsize=16384)
def queue_keys(prefix: str, project: Project, name: str) -> QueueKeys:
    """Return the keys of a queue."""
    tag = f"{prefix}:{{{project_key(project)}/{quote(name, safe='', errors='surrogatepass')}}}"
    return QueueKeys(*(f"{tag}:{part}".encode() for part in QueueKeys._fields))


class KeySets(NamedTuple):
    """The keys of one queue as the scripts want them: in the order in which their heads name them."""

    queue: bytes
    records: bytes
    free: bytes
    delayed: bytes
    expiring: bytes
    claimed: bytes
    bell: bytes
    every: tuple[bytes, ...]
    settling: tuple[bytes, ...]
    posting: tuple[bytes, ...]
    acking: tuple[bytes, ...]
    mourning: tuple[bytes, ...]


@lru_cache(maxsize=16384)
def key_sets(prefix: str, project: Project, name: str, is_cluster: bool) -> KeySets:
    """Return the keys of a queue; a Redis Cluster has no bell, and no script there may use a key of the store."""
    keys = queue_keys(prefix, project, name)
    bell = () if is_cluster else (keys.bell,)
    states = keys[: keys.index(keys.bell)]
    dying = () if is_cluster else (store_key(prefix, DYING),)
    return KeySets(
        keys.queue,
        keys.records,
        keys.free,
        keys.delayed,
        keys.expiring,
        keys.claimed,
        keys.bell,
        every=tuple(keys),
        settling=(*states, *bell),
        posting=(keys.queue, keys.records, keys.free, keys.delayed, keys.expiring, *bell),
        acking=(
            *(keys.records, keys.free, keys.delayed, keys.expiring),
            *(keys.claimed, keys.claims, keys.leases, keys.lent),
        ),
        mourning=(*states, keys.dead, keys.letters, *bell, *dying),
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
    """Return a key of the control plane. All of them bear one hash tag: a script may use several."""
    return f"{prefix}:{{control}}:{part}".encode()
