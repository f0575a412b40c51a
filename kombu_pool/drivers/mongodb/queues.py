"""The message store's queues."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb import scan_sentinels, schema, states
from kombu_pool.drivers.mongodb.codec import DELAYED_OR_CLAIMED, priority_of, project_key
from kombu_pool.drivers.mongodb.queue_deletion import QueueDeletion
from kombu_pool.drivers.mongodb.queue_listing import queues_by_name
from kombu_pool.drivers.mongodb.store import PLANE, queue_filter
from kombu_pool.drivers.queue_stats import queue_stats
from kombu_pool.errors import IncarnationConflict, QueueDoesNotExist
from kombu_pool.model import NO_INCARNATION
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import QueueController as Contract
from kombu_pool.storage.moving import is_sealed
from kombu_pool.storage.policy import policy_of, read, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kombu_pool.drivers.mongodb.cached_queue import Queue
    from kombu_pool.drivers.mongodb.queue_scan import QueueScanner
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import Metadata, Project

_INCARNATION_BYTES = 12


class QueueController(Contract):
    """Queues, each a document, whose random id is that of the incarnation.

    ``p`` and ``q`` are project and name, ``m`` the metadata; ``a`` is the incarnation of its assignment, or "" without
    one; ``e`` is the start of the policy that expired messages become dead letters; ``h`` is the owner of the lock for
    bounded posts, and ``u`` its end; ``z`` is there while the queue is paused. ``o`` is the epoch of the process that
    may store batches of a move, ``t`` the id of its session, and ``k`` the last number of a moved message.
    """

    def __init__(self, store: QueueScanner) -> None:
        self._store = store
        self._client = store.client

    def list(
        self,
        project: Project = None,
        kfilter: Mapping[str, Any] = {},
        marker: str | None = None,
        limit: int = DEFAULT_LIMIT,
        detailed: bool = False,
        name: str | None = None,
    ) -> Iterator[Any]:
        with self._client.translated():
            queues = queues_by_name(self._store.queues, project, kfilter, marker, limit, name, detailed=detailed)
        return page(queues, lambda item: str(item["name"]))

    def get(self, name: str, project: Project = None) -> Metadata:
        with self._client.translated():
            queue = self._store.queue(project, name)
        if queue is None:
            raise QueueDoesNotExist(name, project)
        return read(queue.metadata)

    def set_metadata(self, name: str, metadata: Metadata, project: Project = None) -> None:
        stored = write(metadata)
        with self._client.translated():
            if not self._replace(queue_filter(project, name), name, project, stored):
                raise QueueDoesNotExist(name, project)

    def _replace(self, where: Filter, name: str, project: Project, stored: bytes, **others: str | None) -> bool:
        """Replace the metadata and other fields of a queue, for all processes; return whether the queue matches."""
        literals = {key: {"$literal": value} for key, value in {"m": stored, **others}.items()}
        is_expiring = policy_of(stored).expires_to_dlq
        expiring = {"e": {"$ifNull": ["$e", self._store.now()]}} if is_expiring else {}
        removed = [*([] if is_expiring else ["e"]), *(["o", "t"] if "a" in others else [])]
        update: list[dict[str, Any]] = [{"$set": {**literals, **expiring}}, *({"$unset": name} for name in removed)]
        before = self._store.queues.find_one_and_update(where, update)
        if before is None:
            return False
        # A claim from a queue that is sealed, or was until now, is as good under either incarnation.
        is_of_move = is_sealed(before.get("a") or "") or is_sealed(others.get("a") or "")
        self._store.wait_out_caches(project, name, for_claims=not is_of_move)
        if is_expiring and "e" not in before:
            self._mark_expiring({**queue_filter(project, name), "i": before["_id"]})
        return True

    def _mark_expiring(self, scope: Filter) -> None:
        """Put messages into the index that finds expired ones; claims and the collector find those it misses."""
        where = {**scope, **states.expiring_to_dlq(self._store.now()), "e": None}
        self._store.change(where, {"$set": {"e": True}}, hint=states.BY_EXPIRY)

    def create(
        self,
        name: str,
        metadata: Metadata | None = None,
        project: Project = None,
        *,
        incarnation: str | None = None,
        replaces: str | None = None,
    ) -> bool:
        stored = write(metadata or {})
        with self._client.translated():
            while True:
                found = self._store.queue(project, name)
                if found is None:
                    if self._insert(name, project, stored, incarnation or NO_INCARNATION):
                        return True
                    # Another process inserted it.
                elif found.bears(incarnation):
                    if incarnation is not None and found.is_sealed:
                        # The process that sealed it may have died before it waited.
                        self._end_storing(found)
                    return False
                elif found.assigned != replaces:
                    raise IncarnationConflict(name, project, found.assigned)
                elif self._replace({**found.document_filter, "a": replaces}, name, project, stored, a=incarnation):
                    if is_sealed(incarnation or ""):
                        self._end_storing(found)
                    elif found.is_sealed:
                        self._store.seal_gates.open(self._store.messages, found)
                    return True

    def _end_storing(self, sealed: Queue) -> None:
        """Wait until no process stores anything in a sealed queue: neither dead letters nor posts."""
        self._store.wait_out_caches(sealed.project, sealed.name)
        if self._client.has_transactions:
            self._store.seal_gates.close(self._store.messages, sealed)

    def _insert(self, name: str, project: Project, stored: bytes, assigned: str) -> bool:
        """Store a new queue; return False if there is one of that name."""
        new: dict[str, Any] = {"_id": os.urandom(_INCARNATION_BYTES), **queue_filter(project, name)}
        new.update(a=assigned, m=stored, **({"e": 0.0} if policy_of(stored).expires_to_dlq else {}))
        # After the drop of a database the creation of a queue is the first write.
        schema.prepare(self._client, PLANE, states.INDEXES, again=True)
        try:
            self._store.queues.insert_one(new)
        except DuplicateKeyError:
            return False
        scope = {**queue_filter(project, name), "i": new["_id"]}
        sentinels = scan_sentinels.priority_sentinel(scope, scan_sentinels.LAST), scan_sentinels.end_sentinel(scope)
        self._store.messages.insert_many(sentinels)
        return True

    def exists(self, name: str, project: Project = None) -> bool:
        with self._client.translated():
            return self._exists(name, project)

    def _exists(self, name: str, project: Project) -> bool:
        return self._store.queues.find_one(queue_filter(project, name), {"_id": 1}) is not None

    def delete(self, name: str, project: Project = None, *, incarnation: str | None = None) -> None:
        with self._client.translated():
            QueueDeletion(self._store, [(project, name, incarnation)]).run()

    def delete_many(self, queues: Sequence[tuple[Project, str, str]]) -> None:
        with self._client.translated():
            QueueDeletion(self._store, queues).run()

    def pause(self, name: str, project: Project = None) -> None:
        with self._client.translated():
            self._update(name, project, {"$set": {"z": True}})
            self._store.wait_out_caches(project, name, for_claims=True)

    def resume(self, name: str, project: Project = None) -> None:
        with self._client.translated():
            self._update(name, project, {"$unset": {"z": ""}})
            # Nothing to wait for: a claim from a paused queue reads the queue.
            self._store.wake(project, name)

    def _update(self, name: str, project: Project, update: Filter) -> None:
        if not self._store.queues.update_one(queue_filter(project, name), update).matched_count:
            raise QueueDoesNotExist(name, project)

    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        now = self._store.now()
        with self._client.translated():
            queue = self._store.advance(project, name, now)
            if queue is None:
                raise QueueDoesNotExist(name, project)
            free, delayed, claimed = (
                self._store.messages.count_documents({**queue.scope, **state})
                for state in (states.free(now), states.delayed(now), states.claimed(now))
            )
            # By time first: the numbers of moved messages count from 1.
            ends = sorted(self._ends(queue, now), key=lambda found: (found["t"], bytes(found["_id"][1:])))
        posted = [(end["_id"].hex(), end["t"]) for end in ends[:1] + ends[-1:]]
        return queue_stats(claimed, free + delayed, posted, now, paused=queue.paused)

    def _ends(self, queue: Queue, now: float) -> Iterator[dict[str, Any]]:
        """Yield the first and the last message of each priority, which the index finds without those between them."""
        for state in (*states.FREE_STATES, DELAYED_OR_CLAIMED):
            where: Filter = {**queue.scope, "s": state, "x": {"$gt": now}}
            while (first := self._end(where, 1)) is not None:
                yield first
                beyond = bytes((255 - priority_of(first["_id"]),)) + b"\xff" * 15
                last = self._end({**where, "_id": {"$lte": beyond}}, -1)
                yield last or first
                where["_id"] = {"$gt": beyond}

    def _end(self, where: Filter, sort: int) -> dict[str, Any] | None:
        order = [(key, sort) for key, _ in states.ORDER]
        return self._store.messages.find_one(where, {"t": 1}, sort=order, hint=states.BY_ORDER)

    def calculate_resource_count(self, project: Project = None) -> int:
        with self._client.translated():
            return self._store.queues.count_documents({"p": project_key(project)})
