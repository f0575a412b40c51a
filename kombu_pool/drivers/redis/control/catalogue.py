"""The controller of the catalogue."""

from __future__ import annotations

import math
import secrets
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.moves import decode_move, encode_move
from kombu_pool.drivers.redis.control.key_encoding import SEPARATOR, member, name_of, scope_of, stored_name
from kombu_pool.drivers.redis.control.tables import Table
from kombu_pool.drivers.redis.keys import control_keys
from kombu_pool.drivers.redis.scripts import Script, script
from kombu_pool.drivers.redis.store import now_argument
from kombu_pool.errors import PoolDoesNotExist
from kombu_pool.model import CREATING, DELETING, EXPIRED, RESERVED, Assignment
from kombu_pool.storage import CatalogueController as Contract
from kombu_pool.storage import QueueLookup
from kombu_pool.storage.policy import read, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.redis.client import Client
    from kombu_pool.model import CatalogueEntry, Expiry, Metadata, Project

_FIND = script("control/find", repeatable=True)
_ASSIGN = script("control/assign", repeatable=True)
# Not repeatable: the second answer would be that there is nothing to activate.
_ACTIVATE = script("control/activate")
_BEGIN_DELETION = script("control/begin_deletion", repeatable=True)
_DELETIONS = script("control/deletions", repeatable=True)
# Not repeatable: the second answer would be that another process changed the assignment.
_REPLACE = script("control/replace")
_MOVES = script("control/moves", repeatable=True)
_UNASSIGN = script("control/unassign", repeatable=True)
#: Bytes of a random incarnation. A counter would go back in a failover, and give an incarnation again.
_INCARNATION_BYTES = 12


class CatalogueController(Contract):
    """The catalogue in a table whose records are assignments; the queues that are DELETING are in a set."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._table = Table(client, "catalogue")
        self._keys = control_keys(client.location.key_prefix)

    def list(self, project: Project) -> Sequence[CatalogueEntry]:
        rows = self._table.rows(project)
        return [{"queue": queue, "project": project, "pool": _to_assignment(stored).pool} for queue, stored in rows]

    def insert(self, project: Project, queue: str, pool: str) -> None:
        self._assign(project, queue, pool, RESERVED, "", "", 1)

    def delete(self, project: Project, queue: str, *, incarnation: str | None = None) -> None:
        self._call(_UNASSIGN, project, queue, *(() if incarnation is None else (incarnation,)))

    def drop_all(self) -> None:
        self._table.drop(self._keys.deleting, self._keys.moves, self._keys.pool_queues, self._keys.counters)

    def find_until(self, project: Project, queue: str) -> tuple[Assignment | None, float]:
        assignment, expires, _ = self._find(project, queue)
        return assignment, expires

    def look_up(self, project: Project, queue: str) -> QueueLookup:
        """Return the result of :meth:`ControlDriver.look_up`."""
        assignment, expires, record = self._find(project, queue, 1)
        return QueueLookup(assignment, expires, None if record is None else read(record))

    def _find(self, project: Project, queue: str, *arguments: Any) -> tuple[Assignment | None, float, bytes | None]:
        # Read first: so the time is early by the round trip, and never late.
        now = self._clock.time()
        stored, seconds, is_expired, record = self._call(_FIND, project, queue, *arguments)
        expires = now + float(seconds) if seconds else math.inf
        if stored is None:
            return None, expires, record
        found = _to_assignment(stored)
        return (found._replace(state=EXPIRED) if is_expired and found.state != DELETING else found), expires, record

    def assign(
        self, project: Project, queue: str, pool: str, *, replaces: Assignment | None = None, lease: float | None = None
    ) -> tuple[Assignment, bool]:
        replaced = "" if replaces is None else _to_stored(replaces)
        if lease is None:
            return self._assign(project, queue, pool, RESERVED, replaced, "", 0)
        return self._assign(project, queue, pool, CREATING, replaced, lease, 0)

    def _assign(self, project: Project, queue: str, pool: str, state: str, *arguments: Any) -> tuple[Assignment, bool]:
        incarnation = secrets.token_urlsafe(_INCARNATION_BYTES)
        found, is_new = self._call(_ASSIGN, project, queue, member(None, pool), incarnation, state, *arguments)
        if is_new:
            return Assignment(pool, incarnation, state), True
        if not found:
            raise PoolDoesNotExist(pool)
        return _to_assignment(found), False

    def activate(
        self,
        project: Project,
        queue: str,
        incarnation: str,
        metadata: Metadata | None = None,
        expiry: Expiry | None = None,
    ) -> bool:
        lifetime: list[Any] = [""] if expiry is None else [expiry.after, int(expiry.from_now)]
        if expiry is not None and expiry.holder is not None:
            lifetime += (stored_name(expiry.holder), expiry.holder_ttl)
        return bool(self._call(_ACTIVATE, project, queue, incarnation, write(metadata or {}), *lifetime))

    def begin_deletion(self, project: Project, queue: str, incarnation: str) -> bool:
        return bool(self._call(_BEGIN_DELETION, project, queue, incarnation))

    def deletions(self, limit: int = 100) -> Sequence[tuple[Project, str, Assignment]]:
        return to_assignments(*self._client.call(_DELETIONS, (self._keys.catalogue, self._keys.deleting), limit))

    def replace(self, project: Project, queue: str, found: Assignment, changed: Assignment) -> bool:
        done, absent = self._call(_REPLACE, project, queue, _to_stored(found), _to_stored(changed))
        if absent:
            raise PoolDoesNotExist(scope_of(absent)[1])
        return bool(done)

    def moves(self, limit: int = 1000) -> Sequence[tuple[Project, str, Assignment]]:
        return to_assignments(*self._client.call(_MOVES, (self._keys.catalogue, self._keys.moves), limit))

    def _call(self, script: Script, project: Project, queue: str, *arguments: Any) -> Any:
        return self._client.call(
            script, self._keys.lives, now_argument(self._clock), member(project, queue), *arguments
        )


def to_assignments(queues: Sequence[bytes], stored: Sequence[bytes]) -> Sequence[tuple[Project, str, Assignment]]:
    """Return (project, queue, assignment) of queues, given their members and their assignments as they are stored."""
    return [(*scope_of(queue), _to_assignment(each)) for queue, each in zip(queues, stored, strict=True)]


def _to_stored(assignment: Assignment) -> bytes:
    state, incarnation = assignment.state.encode(), assignment.incarnation.encode()
    stored = SEPARATOR.join((state, incarnation, member(None, assignment.pool)))
    if assignment.move is None:
        return stored
    source, target = (member(None, pool) for pool in assignment.move.pools or ("", ""))
    return b"".join((stored, source, target, SEPARATOR, encode_move(assignment.move)))


def _to_assignment(stored: bytes) -> Assignment:
    state, incarnation, _, pool, *moving = stored.split(SEPARATOR, 6)
    move = decode_move(moving[-1]) if moving else None
    return Assignment(name_of(pool), incarnation.decode(), state.decode(), move)
