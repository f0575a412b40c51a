"""The message store's queues."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.keys import name_bytes, name_of, project_key
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import QueueDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import QueueController as Contract
from kombu_pool.storage.policy import policy_of, read, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.drivers.redis.keys import KeySets
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import Metadata, Project
    from kombu_pool.storage.policy import Policy

CREATE = script("create")
_AMEND = script("set_metadata", repeatable=True)
_COUNT = script("count", repeatable=True, writes=False)
_ENDS = script("oldest_and_newest", repeatable=True, writes=False)
#: Numbers begin anywhere: a queue that is made anew, or elsewhere, must not give an old id to a new message.
_FIRST_NUMBERS = 48
# Queues or messages that are looked at in one round trip.
_AT_ONCE = 500


class QueueController(Contract):
    """Queues: a hash each, and an index of all of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._link = store.link

    def list(
        self,
        project: Project = None,
        kfilter: Mapping[str, Any] = {},
        marker: str | None = None,
        limit: int = DEFAULT_LIMIT,
        detailed: bool = False,
        name: str | None = None,
    ) -> Iterator[Any]:
        shown: list[dict[str, Any]] = []
        for found, metadata in self._existing(project, marker, name or ""):
            given = read(metadata) if kfilter or detailed else {}
            if all(key in given and given[key] == value for key, value in kfilter.items()):
                shown.append({"name": found, "metadata": given} if detailed else {"name": found})
                if len(shown) == limit:
                    break
        return page(shown, lambda item: str(item["name"]))

    def _existing(self, project: Project, marker: str | None, part: str) -> Iterator[tuple[str, bytes]]:
        """Give queues by name; the index may name one that was deleted, or never came to be."""
        head = project_key(project).encode() + b"/"
        after = b"(" + head + name_bytes(marker) if marker else b"[" + head
        beyond = b"(" + head[:-1] + b"0"  # the byte after the slash
        while True:
            members = self._link.command("ZRANGEBYLEX", self._store.index, after, beyond, "LIMIT", 0, _AT_ONCE)
            found = [name_of(member[len(head) :]) for member in members]
            found = [queue for queue in found if part in queue]
            metadata = self._link.commands(
                [("HGET", self._store.keys(project, queue).queue, "metadata") for queue in found]
            )
            yield from ((queue, one) for queue, one in zip(found, metadata, strict=True) if one is not None)
            if len(members) < _AT_ONCE:
                return
            after = b"(" + members[-1]

    def get(self, name: str, project: Project = None) -> Metadata:
        return read(self._metadata(name, project))

    def set_metadata(self, name: str, metadata: Metadata, project: Project = None) -> None:
        keys, written = self._store.keys(project, name), write(metadata)
        noted = self._noted_as_dying(keys, written)
        self._link.commands(noted)
        if not self._link.call(_AMEND, (keys.queue,), *_fields(written)):
            raise QueueDoesNotExist(name, project)
        # Again, for somebody may have looked there in between, and found nothing to come back for.
        self._link.commands(noted)

    def create(self, name: str, metadata: Metadata | None = None, project: Project = None) -> bool:
        written = write(metadata or {})
        if self.exists(name, project):
            return False
        keys = self._store.keys(project, name)
        entries = [("ZADD", self._store.index, 0, _entry(project, name)), *self._noted_as_dying(keys, written)]
        self._link.commands(entries)
        if not self._link.call(CREATE, (keys.queue,), secrets.randbits(_FIRST_NUMBERS), *_fields(written)):
            return False
        # Before it, for a queue without an entry is listed and collected nowhere, should this process die; and after
        # it, for somebody may have deleted the queue in between. An entry without a queue does no harm.
        self._link.commands(entries)
        return True

    def _noted_as_dying(self, keys: KeySets, metadata: bytes) -> tuple[tuple[Any, ...], ...]:
        """Return what lets bury() look at a queue of that metadata: from then on it knows when there is need."""
        return (("ZADD", self._store.queues_with_dead, 0, keys.queue),) if policy_of(metadata).has_dlq else ()

    def exists(self, name: str, project: Project = None) -> bool:
        return bool(self._link.command("EXISTS", self._store.keys(project, name).queue))

    def delete(self, name: str, project: Project = None) -> None:
        # In this order: who creates the queue meanwhile makes its entry last.
        keys = self._store.keys(project, name)
        self._link.commands(
            [
                ("ZREM", self._store.index, _entry(project, name)),
                ("ZREM", self._store.queues_with_dead, keys.queue),
                ("UNLINK", *keys.every),
            ]
        )

    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        keys = self._store.keys(project, name)
        counts = self._store.run(_COUNT, keys)
        if counts is None:
            raise QueueDoesNotExist(name, project)
        free, delayed, claimed, now = counts
        waiting = free + delayed
        messages: dict[str, Any] = {"claimed": claimed, "free": waiting, "total": waiting + claimed}
        ids = sorted({*self._link.call(_ENDS, (keys.free, keys.claimed)), *self._delayed(keys)}, key=_number)
        for which, message in zip(("oldest", "newest"), (ids[:1] + ids[-1:]), strict=False):
            summary = self._summary(keys, message, float(now))
            if summary is not None:
                messages[which] = summary
        return {"messages": messages}

    def _delayed(self, keys: KeySets) -> Iterator[bytes]:
        """Give the delayed messages, which are not kept in order, a page at a time."""
        start = 0
        while ids := self._link.command("ZRANGE", keys.delayed, start, start + _AT_ONCE - 1):
            yield min(ids, key=_number)
            yield max(ids, key=_number)
            start += _AT_ONCE

    def _summary(self, keys: KeySets, message: bytes, now: float) -> dict[str, Any] | None:
        stored = self._link.command("HGET", keys.records, message)
        if stored is None:
            return None
        created = codec.unpack(stored).created
        text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(created))
        return {"id": message.hex(), "age": max(0, int(now - created)), "created": text}

    def calculate_resource_count(self, project: Project = None) -> int:
        head = project_key(project).encode()
        return int(self._link.command("ZLEXCOUNT", self._store.index, b"[" + head + b"/", b"(" + head + b"0"))

    def _metadata(self, name: str, project: Project) -> bytes:
        found: bytes | None = self._link.command("HGET", self._store.keys(project, name).queue, "metadata")
        if found is None:
            raise QueueDoesNotExist(name, project)
        return found


def _fields(metadata: bytes) -> list[Any]:
    """Return the fields of a queue's hash that come from its metadata; scripts read all but the first."""
    policy = policy_of(metadata)
    return [
        *("metadata", metadata),
        *("ttl", policy.ttl),
        *("delay", policy.delay),
        *("max_claim_count", policy.max_claim_count),
        *(("has_dlq", 1) if policy.has_dlq else ()),
        *(("bounded", _bounds_field(policy)) if policy.is_bounded or policy.expires_to_dlq else ()),
    ]


def _bounds_field(policy: Policy) -> str:
    """Return what scripts heed of a queue to which nobody may simply post."""
    return f"{policy.expires_to_dlq:d}:{policy.rejects_overflow:d}:{policy.max_length}:{policy.max_length_bytes}"


def _entry(project: Project, name: str) -> bytes:
    return project_key(project).encode() + b"/" + name_bytes(name)


def _number(message: bytes) -> bytes:
    return message[1:]
