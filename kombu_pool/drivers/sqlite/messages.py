"""Posts, reads and deletes messages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.sqlite import deletion, limits, unique
from kombu_pool.drivers.sqlite.codec import message_number, project_key, to_message, to_messages
from kombu_pool.drivers.sqlite.inspection import count_many
from kombu_pool.drivers.sqlite.message_keys import KeyedMessages
from kombu_pool.drivers.sqlite.posting import idempotency_caches, next_number, store
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.drivers.sqlite.states import CHUNK, advance
from kombu_pool.errors import QueueDoesNotExist, QueueIsEmpty, QueueIsFull
from kombu_pool.storage import DEFAULT_LIMIT
from kombu_pool.storage import MessageController as Contract
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.storage.inspection import MAX_COUNTED
from kombu_pool.storage.moving import is_sealed
from kombu_pool.storage.policy import policy_of
from kombu_pool.storage.unique import UniquePost, has_unique
from kombu_pool.storage.validation import check_sort, validate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kombu_pool.drivers.sqlite.claiming import Claimer
    from kombu_pool.drivers.sqlite.codec import Row
    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.drivers.sqlite.dead_letters import DeadLetters
    from kombu_pool.drivers.sqlite.times import Now, StoreClock
    from kombu_pool.model import IdempotencyKey, KeyResult, Message, NewMessage, Project, QueueCounts
    from kombu_pool.storage.policy import Policy

_SQL = statements("messages")
_TARGET, _ONE, _COUNT = _SQL["target"], _SQL["one"], _SQL["count"]
_PEEK = statements("claiming")["peek"]
_MARKER = re.compile(r"([0-9]{1,3})\.([0-9]{1,18})")
_BEFORE_ALL = (-(1 << 62), 0)
_BY_SORT = {1: _SQL["first"], -1: _SQL["last"]}


class MessageController(Contract):
    """Messages in tables."""

    counted_at_once = 300_000

    def __init__(self, database: Database, clock: StoreClock, claimer: Claimer, dead_letters: DeadLetters) -> None:
        self._database = database
        self._clock = clock
        self._claimer = claimer
        self._dead_letters = dead_letters
        self._idempotency = idempotency_caches[database.path]
        self._keyed = KeyedMessages(database, clock)
        self._limit = database.location.max_message_size
        self.enable_checksum = database.location.enable_checksum

    def post(
        self,
        queue: str,
        messages: Iterable[NewMessage],
        client_uuid: object,
        project: Project = None,
        *,
        idempotency_key: IdempotencyKey | None = None,
        incarnation: str | None = None,
    ) -> Sequence[str]:
        limit = self._limit
        incoming = [validate(message, limit) for message in messages]
        if not incoming:
            return []
        post = UniquePost(incoming) if has_unique(incoming) else None
        client = None if client_uuid is None else str(client_uuid)
        database = self._database
        with database.write, database.lock:
            with database.begin_write() as connection:
                found = connection.execute(_TARGET, (project_key(project), queue)).fetchone()
                if found is None or incarnation not in (None, found[2]) or is_sealed(found[2]):
                    raise QueueDoesNotExist(queue, project)
                now, policy = self._clock.now(), policy_of(found[1])
                scope = database.scope(found[0])
                if (
                    idempotency_key is not None
                    and (before := self._idempotency.ids(idempotency_key, scope)) is not None
                ):
                    return before
                if post is not None:
                    incoming = unique.settle(connection, found[0], policy, post, now)
                    database.flush_found()
                if policy.is_bounded and not limits.admits(connection, found[0], policy, incoming, now):
                    raise QueueIsFull(queue, project)
                first = next_number(max(found[3] or 0, database.last_number), now.wall)
                last = first + len(incoming) - 1
                soon = store(connection, found[0], policy, incoming, first, now.wall, client)
                database.last_number = last
                unique.hold(connection, found[0], post, first, now.wall)
                removed = (
                    limits.make_room(connection, found[0], policy, now.wall, len(incoming)) if policy.is_bounded else 0
                )
            ids: Sequence[str] = [str(number) for number in range(first, last + 1)]
            if post is not None:
                ids = post.ids(ids)
            # Before the commit is confirmed: if that fails, a retry must find it.
            if idempotency_key is not None:
                self._idempotency.add(idempotency_key, now.elapsed, ids, scope)
        if soon:
            database.wake()
        if removed:
            self._make_more_room(found[0], policy, removed)
        return ids

    def _make_more_room(self, queue: int, policy: Policy, removed: int) -> None:
        """Shorten a queue further after a post that removed ``removed`` messages; move its dead messages."""
        while removed >= CHUNK:
            with self._database.write, self._database.lock, self._database.begin_write() as connection:
                removed = limits.make_room(connection, queue, policy, self._clock.time())
        if policy.has_dlq:
            self._dead_letters.dead_letter_some(queue)

    def list(
        self,
        queue: str,
        project: Project = None,
        marker: str | None = None,
        limit: int = DEFAULT_LIMIT,
        echo: bool = False,
        client_uuid: object = None,
        include_claimed: bool = False,
        include_delayed: bool = False,
    ) -> Iterator[Any]:
        now = self._clock.now()
        found = self._advanced(queue, project, now)
        after = _position(marker)
        if found is None or after is None:
            return iter(([], ""))
        values = {
            "queue": found,
            "wall": now.wall,
            "elapsed": now.elapsed,
            "rank": after[0],
            "id": after[1],
            "client": None if echo or client_uuid is None else str(client_uuid),
            "limit": limit or -1,
        }
        rows = self._page(values, include_claimed, include_delayed)
        rows = rows[: limit or None]
        return iter((to_messages(rows, now.wall), f"{-rows[-1][1]}.{rows[-1][0]}" if rows else ""))

    def _page(self, values: dict[str, Any], include_claimed: bool, include_delayed: bool) -> Sequence[Row]:
        with self._database.read, self._database.lock, self._database.begin_read() as connection:
            rows = connection.execute(_SQL["free_page"], values).fetchall()
            if include_delayed:
                rows += connection.execute(_SQL["delayed_page"], values).fetchall()
            if include_claimed:
                rows += connection.execute(_SQL["claimed_page"], values).fetchall()
        return sorted(rows, key=lambda row: (row[1], row[0]))

    def first(self, queue: str, project: Project = None, sort: int = 1) -> Message:
        check_sort(sort)
        now = self._clock.now()
        row = self._database.row(_BY_SORT[sort], (self._require(queue, project, now), now.wall))
        if row is None:
            raise QueueIsEmpty(queue, project)
        return to_message(row, now.wall)

    def bulk_get(self, queue: str, message_ids: Iterable[str], project: Project = None) -> Iterator[Message]:
        now = self._clock.now()
        numbers = [message_number(message_id) for message_id in dict.fromkeys(message_ids)]
        found = self._advanced(queue, project, now)
        if found is None:
            return iter(())
        with self._database.read, self._database.lock, self._database.begin_read() as connection:
            rows = [connection.execute(_ONE, (number, found, now.wall)).fetchone() for number in numbers]
        return iter(to_messages([row for row in rows if row is not None], now.wall))

    def delete(self, queue: str, message_id: str, project: Project = None, claim: str | None = None) -> None:
        deletion.delete(self._database, self._clock, queue, message_id, project, claim)

    def bulk_delete(
        self, queue: str, message_ids: Iterable[str], project: Project = None, claim_ids: Sequence[str] | None = None
    ) -> None:
        deletion.delete_many(self._database, self._clock, queue, message_ids, project, claim_ids)

    def pop(self, queue: str, limit: int, project: Project = None) -> Sequence[Message]:
        return self._claimer.pop(queue, limit, project)

    def delete_claimed(
        self, queue: str, held: Sequence[tuple[str, str]], project: Project = None
    ) -> Sequence[tuple[str, str]]:
        return deletion.delete_claimed(self._database, self._clock, queue, held, project)

    def reject(
        self,
        queue: str,
        held: Sequence[tuple[str, str]],
        project: Project = None,
        *,
        reason: str = DeadLetterReason.REJECTED,
    ) -> Sequence[tuple[str, str]]:
        refused, source = deletion.reject(self._database, self._clock, queue, held, project, reason)
        if source is not None:
            self._dead_letters.dead_letter_some(source)
        return refused

    def delayed_ids(self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT) -> Sequence[str]:
        return [message_id for message_id, _ in self.due_times(queue, project, limit)]

    def due_times(
        self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT
    ) -> Sequence[tuple[str, float | None]]:
        now = self._clock.now()
        found = self._advanced(queue, project, now)
        if found is None:
            return []
        with self._database.read, self._database.lock, self._database.begin_read() as connection:
            rows = connection.execute(_SQL["delayed_ids"], (found, now.wall, limit)).fetchall()
        return [(str(number), due) for number, due in rows]

    def purge(self, queue: str, project: Project = None) -> int:
        now = self._clock.now()
        found = self._advanced(queue, project, now)
        return 0 if found is None else deletion.purge(self._database, found, now.wall)

    def count_many(
        self, queues: Sequence[tuple[Project, str]], limit: int = MAX_COUNTED
    ) -> Sequence[QueueCounts | None]:
        return count_many(self._database, queues, self._clock.now(), limit)

    def count(self, queue: str, project: Project = None) -> int:
        now = self._clock.now()
        found = self._advanced(queue, project, now)
        return 0 if found is None else int(self._database.row(_COUNT, (found, now.wall))[0])

    def find(self, key: str, queue: str | None = None, project: Project = None) -> KeyResult:
        return self._keyed.find(key, queue, project)

    def cancel(self, key: str, queue: str | None = None, project: Project = None) -> KeyResult:
        return self._keyed.cancel(key, queue, project)

    def change(
        self,
        key: str,
        due: float | None = None,
        priority: int | None = None,
        queue: str | None = None,
        project: Project = None,
    ) -> KeyResult:
        return self._keyed.change(key, due, priority, queue, project)

    def _require(self, queue: str, project: Project, now: Now) -> int:
        found = self._advanced(queue, project, now)
        if found is None:
            raise QueueDoesNotExist(queue, project)
        return found

    def _advanced(self, queue: str, project: Project, now: Now) -> int | None:
        """Advance the queue and return its id; None if it is absent."""
        found = self._database.row(_PEEK, (*now, project_key(project), queue))
        if found is None:
            return None
        if found[3]:
            advance(self._database, found[0], now)
        return int(found[0])


def _position(marker: str | None) -> tuple[int, int] | None:
    """Return the position (rank, id) after which a page begins; None for a malformed marker."""
    if not marker:
        return _BEFORE_ALL
    found = _MARKER.fullmatch(marker) if marker.isascii() else None
    return (-int(found[1]), int(found[2])) if found else None
