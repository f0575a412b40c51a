"""What holds the unique ids of a queue: an index admits one document with an id.

For the scopes ``waiting`` and ``unfinished`` that is the message itself; when it is deleted or dies, the id is free.
For a number of seconds it is a document of its own, a *hold*: ``v`` the id, ``x`` its end, ``k`` the message, ``w`` the
key. Its message names the id in ``vs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kombu_pool.drivers.mongodb import states
from kombu_pool.drivers.mongodb.codec import IDEMPOTENCY_RECORD, PARTIAL
from kombu_pool.model import PresentId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.cached_queue import Queue
    from kombu_pool.drivers.mongodb.store import Store

    Document = dict[str, Any]


class Held(NamedTuple):
    """The message that holds an id; None in place of its document if it is gone."""

    id: PresentId
    document: Document | None
    hold: Document | None

    def waits(self, now: float) -> bool:
        """Return whether the message waits."""
        return self.document is not None and not states.is_claimed(self.document, now)


class UniqueHolders:
    """The holders of unique ids."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, queue: Queue, names: Sequence[str], now: float) -> dict[str, Held]:
        """Return what holds ids, by these; an id whose scope is over is freed."""
        where = {**queue.scope, "v": {"$in": list(names)}}
        found = list(self._store.messages.find(where, hint=states.BY_UNIQUE_ID))
        messages = self._messages_of_holds(queue, found, now)
        held = {one["v"]: self._held(queue, one, messages, now) for one in found}
        return {name: one for name, one in held.items() if one is not None}

    def count_timed(self, queue: Queue, now: float, limit: int) -> int:
        """Count the ids that are held for a time yet, up to a limit."""
        where = {**queue.scope, "v": {"$gt": ""}, "s": IDEMPOTENCY_RECORD, "x": {"$gt": now}}
        return self._store.messages.count_documents(where, limit=limit, hint=states.BY_UNIQUE_ID)

    def _messages_of_holds(self, queue: Queue, found: Sequence[Document], now: float) -> dict[bytes, Document]:
        """Return the messages of those holds that have some, by their ids."""
        ids = [one["k"][0] for one in found if one["s"] == IDEMPOTENCY_RECORD and one["x"] > now]
        where = {**queue.scope, "_id": {"$in": ids}, **states.present(now)}
        return {one["_id"]: one for one in self._store.messages.find(where)} if ids else {}

    def _held(self, queue: Queue, found: Document, messages: dict[bytes, Document], now: float) -> Held | None:
        if found["s"] == IDEMPOTENCY_RECORD:
            if found["x"] <= now:
                self._store.messages.delete_one({"_id": found["_id"], **queue.scope, "x": found["x"]})
                return None
            message_id = found["k"][0]
            return Held(PresentId.of(message_id.hex(), found["w"]), messages.get(message_id), found)
        is_over = found["x"] <= now or (found.get("vw") and states.is_claimed(found, now))
        if is_over and found["s"] != PARTIAL:
            same = {key: found[key] for key in ("_id", "s", "r", "c")}
            self._store.messages.update_one({**queue.scope, **same}, {"$unset": {"v": "", "vw": ""}})
            return None
        return Held(PresentId.of(found["_id"].hex(), found.get("j")), found, None)
