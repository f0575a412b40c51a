"""Finds, cancels and changes messages by their key; one index has those of all queues.

Each message is one step: its state is a part of the filter by which it is deleted or changed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.mongodb import codec, states
from kombu_pool.drivers.mongodb.codec import DELAYED_OR_CLAIMED, FREE_AGAIN, NEVER
from kombu_pool.drivers.mongodb.store import queues_filter
from kombu_pool.drivers.records import moved_expiry, readable
from kombu_pool.model import KeyResult
from kombu_pool.storage.dead_letters import RESERVATION_TTL
from kombu_pool.storage.keys import CLAIMED, DELAYED, FREE, check_change, found_message
from kombu_pool.storage.validation import is_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo.client_session import ClientSession

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Store
    from kombu_pool.model import FoundMessage, Project

    Document = dict[str, Any]

#: Fields that identify the state of a message: a change that they do not prevent is the first since they were read.
_STATE = ("s", "r", "c", "n", "x")
#: Attempts at a message that other processes change at the same time.
_MAX_ATTEMPTS = 20


class KeyedMessages:
    """The messages of a database, by their keys."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, key: object, queue: str | None, project: Project) -> KeyResult:
        """Return the messages with a key."""
        now = self._store.now()
        return KeyResult([_view(one, now) for one in self._documents(key, queue, project, now)])

    def cancel(self, key: object, queue: str | None, project: Project) -> KeyResult:
        """Delete the messages with a key that wait, but no dead letters."""
        return self._each(key, queue, project, self.delete, spares_dead_letters=True)

    def change(
        self, key: object, due: float | None, priority: int | None, queue: str | None, project: Project
    ) -> KeyResult:
        """Change the messages with a key that wait."""
        check_change(due, priority)
        return self._each(key, queue, project, partial(self.change_one, due, priority))

    def _documents(self, key: object, queue: str | None, project: Project, now: float) -> list[Document]:
        """Return the documents of the messages with a key in queues that exist, by queue and in order."""
        if not is_key(key):
            return []
        where: Filter = {"j": key, "p": codec.project_key(project), **states.present(now)}
        if queue is not None:
            where["q"] = queue
        found = list(self._store.messages.find(where, hint=states.BY_KEY))
        names = {(one["p"], one["q"]) for one in found}
        queues = self._store.queues.find(queues_filter(names), {"_id": 1}) if names else ()
        incarnations = {one["_id"] for one in queues}
        return sorted((one for one in found if one["i"] in incarnations), key=lambda one: (one["q"], one["_id"]))

    def _each(
        self,
        key: object,
        queue: str | None,
        project: Project,
        step: Callable[[Document, float], Document | None],
        *,
        spares_dead_letters: bool = False,
    ) -> KeyResult:
        """Take a step with each message that no claim holds; it returns the message, or None if that changed."""
        result, now = KeyResult(), self._store.now()
        for one in self._documents(key, queue, project, now):
            found: Document | None = one
            for _ in range(_MAX_ATTEMPTS):
                if found is None:
                    break
                if states.is_claimed(found, now):
                    result.claimed.append(_view(found, now))
                    break
                if spares_dead_letters and found.get("d") is not None:
                    result.dead_letters.append(_view(found, now))
                    break
                self._store.claim_cache.discard([found["_id"].hex()])
                done = step(found, now)
                if done is not None:
                    result.messages.append(_view(done, now))
                    break
                now = self._store.now()
                found = self._store.messages.find_one({**_scope(one), "_id": one["_id"], **states.present(now)})
        return result

    def delete(self, found: Document, now: float) -> Document | None:
        """Delete a message that waits; return it, or None if it does not."""
        where = {**_scope(found), **states.present(now), "_id": found["_id"], "$nor": [states.claimed(now)]}
        return found if self._store.messages.delete_one(where).deleted_count else None

    def change_one(
        self,
        due: float | None,
        priority: int | None,
        found: Document,
        now: float,
        session: ClientSession | None = None,
    ) -> Document | None:
        """Change a message that waits; return it as it is now, or None if it was changed meanwhile."""
        changed = _changed(found, due, now)
        if priority is not None and priority != codec.priority_of(found["_id"]):
            changed["_id"] = bytes((255 - priority,)) + found["_id"][1:]
            is_done = self._replace(found, changed, now)
        else:
            # Not replaced: a change stream shows watches which fields an update sets.
            fields = {name: changed[name] for name in ("s", "r", "c", "x", "l", "g") if name in changed}
            update = {"$set": fields}
            is_done = bool(self._store.messages.update_one(_unchanged(found), update, session=session).matched_count)
        scope = codec.project_of(found["p"]), found["q"]
        if changed["r"]:
            self._store.expect_due(*scope, changed["r"])
        return changed if is_done else None

    def _replace(self, found: Document, changed: Document, now: float) -> bool:
        """Store a message under another id, and delete it under the old one; return whether it was unchanged."""
        messages = self._store.messages
        if self._store.client.has_transactions:

            def move(session: ClientSession) -> bool:
                if not messages.delete_one(_unchanged(found), session=session).deleted_count:
                    return False
                messages.insert_one(changed, session=session)
                self._move_hold(found, changed, session)
                return True

            return self._store.client.transact(move)
        # Reserved by a claim. A crash before the deletion leaves both.
        claim = codec.new_claim_id()
        reserved = {"s": DELAYED_OR_CLAIMED, "r": now + RESERVATION_TTL, "c": claim}
        if not messages.update_one(_unchanged(found), {"$set": reserved}).matched_count:
            return False
        messages.update_one({**_scope(found), "_id": found["_id"], "c": claim}, {"$unset": {"v": "", "vw": ""}})
        messages.insert_one(changed)
        self._move_hold(found, changed)
        messages.delete_one({**_scope(found), "_id": found["_id"], "c": claim})
        return True

    def _move_hold(self, found: Document, changed: Document, session: ClientSession | None = None) -> None:
        """Let the hold in seconds of a message name its new id; see :mod:`unique`."""
        if (unique_id := found.get("vs")) is not None:
            where = {**_scope(found), "v": unique_id, "k": [found["_id"]]}
            update = {"$set": {"k": [changed["_id"]]}}
            self._store.messages.update_one(where, update, hint=states.BY_UNIQUE_ID, session=session)


def _scope(document: Document) -> Filter:
    return {key: document[key] for key in ("p", "q", "i")}


def _unchanged(found: Document) -> Filter:
    return {**_scope(found), "_id": found["_id"], **{key: found[key] for key in _STATE}}


def _is_delayed(found: Document, now: float) -> bool:
    return found["s"] == DELAYED_OR_CLAIMED and found["c"] is None and bool(found["r"] > now)


def _changed(found: Document, due: float | None, now: float) -> Document:
    """Return a message that waits with another due time; it is free again, or delayed."""
    before = found["r"] if _is_delayed(found, now) else None
    after = before if due is None else due if due > now else None
    changed = {**found, "s": FREE_AGAIN, "r": 0.0}
    if after is not None:
        # Watches learn of it by `g`.
        changed.update(s=DELAYED_OR_CLAIMED, r=float(after), c=None, g=float(after))
    if found["x"] != NEVER and after != before:
        changed["x"] = moved_expiry(found["x"], before, after, now)
        changed["l"] = changed["x"] - found["t"]
    return changed


def _view(found: Document, now: float) -> FoundMessage:
    message = codec.to_message({**found, "b": readable(found["b"])}, now)
    if states.is_claimed(found, now):
        return found_message(message, found["q"], CLAIMED)
    is_delayed = _is_delayed(found, now)
    return found_message(message, found["q"], DELAYED if is_delayed else FREE, found["r"] if is_delayed else None)
