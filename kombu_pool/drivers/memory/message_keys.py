"""Finds, cancels and changes messages by their key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.memory.codec import to_message
from kombu_pool.drivers.records import readable
from kombu_pool.model import KeyResult
from kombu_pool.storage.keys import CLAIMED, DELAYED, FREE, check_change, found_message
from kombu_pool.storage.validation import is_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.states import Backlog, StoredMessage
    from kombu_pool.drivers.memory.store import DataStore
    from kombu_pool.model import FoundMessage, Project


class KeyedMessages:
    """The messages of an in-memory store, by their keys."""

    def __init__(self, store: DataStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def find(self, key: object, queue: str | None, project: Project) -> KeyResult:
        """Return the messages with a key."""
        with self._store.lock:
            now = self._clock.time()
            found = self._of_key(key, queue, project, now)
            return KeyResult([_view(name, backlog, message, now) for name, backlog, message in found])

    def cancel(self, key: object, queue: str | None, project: Project) -> KeyResult:
        """Delete the messages with a key that wait, but no dead letters."""
        result = KeyResult()
        with self._store.lock:
            now = self._clock.time()
            for name, backlog, message in self._of_key(key, queue, project, now):
                view = _view(name, backlog, message, now)
                if backlog.claim_of(message) is not None:
                    result.claimed.append(view)
                elif message.dead_letter is not None:
                    result.dead_letters.append(view)
                else:
                    result.messages.append(view)
                    backlog.remove(message)
        return result

    def change(
        self, key: object, due: float | None, priority: int | None, queue: str | None, project: Project
    ) -> KeyResult:
        """Change the messages with a key that wait."""
        check_change(due, priority)
        result = KeyResult()
        with self._store.lock:
            now = self._clock.time()
            for name, backlog, message in self._of_key(key, queue, project, now):
                is_claimed = backlog.claim_of(message) is not None
                if not is_claimed:
                    backlog.change(message, due, priority, now)
                (result.claimed if is_claimed else result.messages).append(_view(name, backlog, message, now))
        return result

    def _of_key(
        self, key: object, queue: str | None, project: Project, now: float
    ) -> Iterator[tuple[str, Backlog, StoredMessage]]:
        if not is_key(key):
            return
        names = sorted(name for owner, name in self._store.queues if owner == project and queue in (None, name))
        for name in names:
            found = self._store.find(project, name, now)
            for message in found.backlog.of_key(str(key)) if found else ():
                yield name, found.backlog, message  # type: ignore[union-attr] # it has a message


def _view(name: str, backlog: Backlog, message: StoredMessage, now: float) -> FoundMessage:
    view = to_message(message, now, readable(message.record))
    if backlog.claim_of(message) is not None:
        return found_message(view, name, CLAIMED)
    is_delayed = backlog.is_delayed(message)
    return found_message(view, name, DELAYED if is_delayed else FREE, message.due if is_delayed else None)
