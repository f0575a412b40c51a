"""Reads, renews and releases claims."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite import deletion
from kombu_pool.drivers.sqlite.claiming import Claimer
from kombu_pool.drivers.sqlite.codec import claim_number, message_number, project_key, to_messages
from kombu_pool.drivers.sqlite.incarnations import find_queue
from kombu_pool.drivers.sqlite.inspection import live_claims
from kombu_pool.drivers.sqlite.posting import SOON
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.drivers.sqlite.states import end_claim
from kombu_pool.errors import ClaimDoesNotExist, QueueDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT
from kombu_pool.storage.validation import check_claim

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Sequence

    from kombu_pool.drivers.sqlite.times import Now
    from kombu_pool.model import Claim, ClaimMetadata, Message, Project
    from kombu_pool.storage.inspection import LiveClaim

_SQL = statements("claims")
_ONE, _RENEW = _SQL["one"], _SQL["renew"]
_EXTEND_EXPIRY = statements("claiming")["extend_expiry"]
_DELETION = statements("deletion")


class ClaimController(Claimer):
    """Claims in tables."""

    def ack_and_claim(
        self,
        queue: str,
        held: Sequence[tuple[str, str]],
        metadata: ClaimMetadata,
        project: Project = None,
        limit: int = DEFAULT_LIMIT,
        *,
        incarnation: str | None = None,
    ) -> tuple[Sequence[tuple[str, str]], str | None, Sequence[Message]]:
        check_claim(metadata)
        refused = deletion.delete_claimed(self._database, self._clock, queue, held, project, incarnation)
        try:
            return refused, *self.create(queue, metadata, project, limit, incarnation=incarnation)
        except QueueDoesNotExist:
            if not held:
                raise
            # The queue was deleted between the two transactions: what the first has done is still to be told.
            return refused, None, []

    def get(self, queue: str, claim_id: str, project: Project = None) -> tuple[Claim, Sequence[Message]]:
        now = self._clock.now()
        number = claim_number(claim_id)
        with self._database.read, self._database.lock, self._database.begin_read() as connection:
            found = connection.execute(_ONE, (number, now.elapsed, project_key(project), queue)).fetchone()
            rows = connection.execute(_SQL["messages"], (number,)).fetchall()
        if found is None or not rows:
            raise ClaimDoesNotExist(claim_id, queue, project)
        claim: Claim = {"id": claim_id, "age": max(0, int(now.elapsed - found[1])), "ttl": found[0]}
        return claim, to_messages(rows, now.wall)

    def update(self, queue: str, claim_id: str, metadata: ClaimMetadata, project: Project = None) -> None:
        number = claim_number(claim_id)
        if number < 0:
            raise ClaimDoesNotExist(claim_id, queue, project)
        check_claim(metadata)
        ttl = metadata["ttl"]
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            now = self._clock.now()
            values = (ttl, now.elapsed, now.elapsed + ttl, number, now.elapsed, project_key(project), queue)
            renewed = connection.execute(_RENEW, values).fetchone()
            if renewed is None:
                raise ClaimDoesNotExist(claim_id, queue, project)
            _extend_expiry(connection, number, renewed[0], metadata, now)
        if ttl < SOON:
            self._database.wake()

    def renew(
        self, claims: Sequence[tuple[Project, str, str]], metadata: ClaimMetadata
    ) -> Sequence[tuple[Project, str, str]]:
        check_claim(metadata)
        if not claims:
            return []
        ttl, numbers = metadata["ttl"], defaultdict(list)
        for project, queue, claim_id in claims:
            numbers[project, queue].append(claim_number(claim_id))
        renewed: set[tuple[Project, str, int]] = set()
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            now = self._clock.now()
            for (project, queue), named in numbers.items():
                found = find_queue(connection, queue, project, None)
                live = _renew_many(connection, found[0], named, metadata, now) if found else ()
                renewed.update((project, queue, number) for number in live)
        if ttl < SOON:
            self._database.wake()
        return [named for named in claims if not _is_renewed(named, renewed, ttl)]

    def end_claims(self, holder: str, queues: Sequence[tuple[Project, str]], *, keep: Collection[str] = ()) -> int:
        return sum(self.end_claims_of(holder, queues, keep=keep).values())

    def end_claims_of(
        self, holder: str, queues: Sequence[tuple[Project, str]], *, keep: Collection[str] = ()
    ) -> dict[tuple[Project, str], int]:
        freed = dict.fromkeys(queues, 0)
        if not queues:
            return freed
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            now, kept = self._clock.elapsed(), json.dumps([claim_number(claim_id) for claim_id in keep])
            for project, queue in freed:
                found = find_queue(connection, queue, project, None)
                if found is not None:
                    held = (found[0], now, holder, kept)
                    freed[project, queue] = connection.execute(_SQL["held_by"], held).fetchone()[0]
                    connection.execute(_SQL["end_held_by"], held)
        if any(freed.values()):
            self._database.wake()
        return freed

    def delete(self, queue: str, claim_id: str, project: Project = None) -> None:
        number, now = claim_number(claim_id), self._clock.elapsed()
        values = (number, now, project_key(project), queue)
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            found = connection.execute(_ONE, values).fetchone()
            freed = end_claim(connection, number, last_claim=None) if found else 0
        if freed:
            self._database.wake()

    def release(self, queue: str, claim_id: str, message_ids: Iterable[str], project: Project = None) -> int:
        claim = claim_number(claim_id)
        numbers = [message_number(message_id) for message_id in dict.fromkeys(message_ids)]
        with self._database.write, self._database.lock, self._database.begin_write() as connection:
            values = (claim, self._clock.elapsed(), project_key(project), queue)
            found = connection.execute(_ONE, values).fetchone()
            freed = sum(_release(connection, number, claim) for number in numbers) if found else 0
            if freed:
                connection.execute(_DELETION["empty_claim"], (claim,))
        if freed:
            self._database.wake()
        return freed

    def live_claims(self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT) -> Sequence[LiveClaim]:
        return live_claims(self._database, project, queue, self._clock.now(), limit)


def _renew_many(
    connection: sqlite3.Connection, queue: int, claims: Sequence[int], metadata: ClaimMetadata, now: Now
) -> list[int]:
    """Renew claims of a queue; return those that were live."""
    ttl = metadata["ttl"]
    values = (ttl, now.elapsed, now.elapsed + ttl, json.dumps(claims), now.elapsed, queue)
    rows = connection.execute(_SQL["renew_many"], values).fetchall()
    for number, earliest in rows:
        _extend_expiry(connection, number, earliest, metadata, now)
    return [number for number, _ in rows]


def _is_renewed(named: tuple[Project, str, str], renewed: set[tuple[Project, str, int]], ttl: float) -> bool:
    project, queue, claim_id = named
    key = project, queue, claim_number(claim_id)
    if key not in renewed:
        return False
    if ttl <= 0:
        renewed.remove(key)  # It has ended by now, for another renewal of the same call.
    return True


def _extend_expiry(
    connection: sqlite3.Connection, claim: int, earliest: float | None, metadata: ClaimMetadata, now: Now
) -> None:
    """Extend the expiry of the messages of a renewed claim that would expire, by the wall clock, before it ends."""
    ends = now.wall + metadata["ttl"]
    if earliest is None or earliest >= ends:
        return
    expires, ttl = ends + metadata["grace"], metadata["ttl"] + metadata["grace"]
    rows = connection.execute(_SQL["expiring"], (claim, ends)).fetchall()
    connection.executemany(_EXTEND_EXPIRY, [(expires, ttl, number) for (number,) in rows])
    connection.execute(_SQL["reset_expiry"], (claim,))


def _release(connection: sqlite3.Connection, number: int, claim: int) -> int:
    connection.execute(_SQL["release"], (number, claim))
    return connection.execute(_DELETION["claimed_by"], (number, claim)).rowcount
