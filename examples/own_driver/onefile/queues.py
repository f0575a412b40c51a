"""Queues."""

import time
from math import inf

from kombu_pool import storage
from kombu_pool.errors import IncarnationConflict
from kombu_pool.model import NO_INCARNATION
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage.policy import read, write
from onefile.store import StoredQueue


class QueueController(storage.QueueController):
    """The queues of the file."""

    def __init__(self, store):
        self._store = store

    def list(self, project=None, kfilter={}, marker=None, limit=DEFAULT_LIMIT, detailed=False, name=None):
        with self._store.read() as (state, _):
            found = sorted(
                (queue, read(one.metadata)) for (owner, queue), one in state.queues.items() if owner == project
            )
        shown = [
            {"name": queue, "metadata": metadata} if detailed else {"name": queue}
            for queue, metadata in found
            if queue > (marker or "") and (name or "") in queue and kfilter.items() <= metadata.items()
        ]
        return page(shown[: limit or None], lambda item: item["name"])

    def get(self, name, project=None):
        with self._store.read() as (state, now):
            return read(state.require(project, name, now).metadata)

    def set_metadata(self, name, metadata, project=None):
        with self._store.change() as (state, now):
            state.require(project, name, now).metadata = write(metadata)

    def create(self, name, metadata=None, project=None, *, incarnation=None, replaces=None):
        new = StoredQueue(write(metadata or {}), incarnation=incarnation or NO_INCARNATION)
        with self._store.change() as (state, _):
            found = state.queues.setdefault((project, name), new)
            if found is not new:
                if incarnation in (None, found.incarnation):
                    return False
                if replaces != found.incarnation:
                    raise IncarnationConflict(name, project, found.incarnation)
                found.metadata, found.incarnation = new.metadata, incarnation
        return True

    def delete(self, name, project=None, *, incarnation=None):
        with self._store.change() as (state, _):
            if (project, name) in state.queues and not state.bears(project, name, incarnation):
                return
            state.queues.pop((project, name), None)
            state.subscriptions.pop((project, name), None)

    def pause(self, name, project=None):
        self._set_paused(name, project, paused=True)

    def resume(self, name, project=None):
        self._set_paused(name, project, paused=False)

    def _set_paused(self, name, project, *, paused):
        with self._store.change() as (state, now):
            state.require(project, name, now).paused = paused

    def stats(self, name, project=None):
        with self._store.read() as (state, now):
            queue = state.require(project, name, now)
        every = sorted(queue.messages.values(), key=lambda message: message.number)
        free = len(queue.select(inf))
        messages = {"claimed": len(every) - free, "free": free, "total": len(every)}
        for which, message in zip(("oldest", "newest"), every[:1] + every[-1:], strict=False):
            created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(message.created))
            messages[which] = {"id": message.id, "age": message.show(now)["age"], "created": created}
        return {"messages": messages, "paused": True} if queue.paused else {"messages": messages}
