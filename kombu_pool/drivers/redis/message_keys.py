"""Finds, cancels and changes messages by their key; each queue has an index of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.records import readable
from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.drivers.redis.store import RUN_AGAIN
from kombu_pool.model import KeyResult
from kombu_pool.storage.keys import CLAIMED, DELAYED, FREE, found_message

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import FoundMessage, Project

_FIND = script("find", repeatable=True)
_CANCEL = script("cancel")
_CHANGE = script("change")
#: Queues that are asked in one round trip.
_PAGE_SIZE = 500


class KeyedMessages:
    """The messages of a Redis, by their keys."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, key: str, queues: Sequence[str], project: Project) -> KeyResult:
        """Return the messages with a key in some queues."""
        result = KeyResult()
        for queue, reply in self._found(key, queues, project):
            result.messages += _to_messages(reply, queue)
        return result

    def cancel(self, key: str, queues: Sequence[str], project: Project) -> KeyResult:
        """Delete the messages with a key that wait, but no dead letters."""
        result = KeyResult()
        for queue in self._asked(key, queues, project):
            _add(result, self._store.run(_CANCEL, self._store.keys(project, queue), key), queue)
        return result

    def change(
        self, key: str, due: float | None, priority: int | None, queues: Sequence[str], project: Project
    ) -> KeyResult:
        """Change the messages with a key that wait."""
        result = KeyResult()
        arguments = (key, "" if due is None else repr(float(due)), "" if priority is None else priority)
        for queue in self._asked(key, queues, project):
            keys = self._store.keys(project, queue).dead_lettering
            _add(result, self._store.run_dead_lettering(_CHANGE, keys, *arguments), queue)
        return result

    def _asked(self, key: str, queues: Sequence[str], project: Project) -> Sequence[str]:
        """Return the queues in which a script is to run: of many, those that have the key."""
        return queues if len(queues) == 1 else [queue for queue, _ in self._found(key, queues, project)]

    def _found(self, key: str, queues: Sequence[str], project: Project) -> Iterator[tuple[str, Any]]:
        """Yield the queues that have messages with a key, each with the reply of the script that finds them."""
        store = self._store
        for start in range(0, len(queues), _PAGE_SIZE):
            each = [store.keys(project, queue) for queue in queues[start : start + _PAGE_SIZE]]
            replies = store.client.calls(_FIND, [(keys.states, (store.now(), key)) for keys in each])
            for queue, keys, reply in zip(queues[start:], each, replies, strict=False):
                found = store.run(_FIND, keys, key) if reply in RUN_AGAIN else reply
                if found is not None and found[0]:
                    yield queue, found


def _add(result: KeyResult, reply: Any, queue: str) -> None:
    """Add the reply of a script to a result."""
    if reply is not None:
        for messages, found in zip((result.messages, result.claimed, result.dead_letters), reply, strict=False):
            messages.extend(_to_messages(found, queue))


def _to_messages(reply: Any, queue: str) -> Iterator[FoundMessage]:
    """Yield the messages in the reply of a script."""
    ids, records, claim_counts, claims, dues, now = reply
    for index, message_id in enumerate(codec.split_ids(ids)):
        record, due, claim = records[index], dues[index], claims[index]
        body = codec.unpack(record).body
        stored = record[: len(record) - len(body)] + readable(body)
        count, last_claim = codec.claim_count_of(claim_counts, index)
        claim_id, count = (claim.hex(), count + 1) if claim else (last_claim, count)
        message = codec.to_message(message_id, stored, claim_id, count, float(now))
        state = CLAIMED if claim else DELAYED if due is not None else FREE
        yield found_message(message, queue, state, None if due is None else float(due))
