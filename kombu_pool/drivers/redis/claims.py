"""The controller of claims."""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.records import to_seconds
from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.claiming import Claimer
from kombu_pool.drivers.redis.inspection import live_claims
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.drivers.redis.store import RUN_AGAIN
from kombu_pool.errors import ClaimDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT
from kombu_pool.storage.validation import check_claim

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from kombu_pool.drivers.redis.keys import KeySets
    from kombu_pool.drivers.redis.scripts import Script
    from kombu_pool.model import Claim, ClaimMetadata, Message, Project
    from kombu_pool.storage.inspection import LiveClaim

_RELEASE = script("release")
_GET = script("get_claim", repeatable=True)
_RENEW = script("renew", repeatable=True)
_END_CLAIMS = script("end_claims", repeatable=True)
#: Claims that one run of a script renews; Redis serves no other client meanwhile.
_RENEWED_AT_ONCE = 1000


class ClaimController(Claimer):
    """Claims in a sorted set by their end."""

    def get(self, queue: str, claim_id: str, project: Project = None) -> tuple[Claim, Sequence[Message]]:
        claim = codec.parse_id(claim_id)
        found = None if claim is None else self._store.run(_GET, self._store.keys(project, queue), claim)
        if found is None or claim is None:
            raise ClaimDoesNotExist(claim_id, queue, project)
        times, ids, stored, claim_counts, now = found
        start, ttl = struct.unpack(">dd", times)
        messages = codec.to_messages((stored, claim_counts, [claim] * len(stored), now), codec.split_ids(ids))
        shown: Claim = {"id": claim_id, "age": max(0, int(float(now) - start)), "ttl": to_seconds(ttl)}
        return shown, sorted(messages, key=lambda message: message["id"])

    def update(self, queue: str, claim_id: str, metadata: ClaimMetadata, project: Project = None) -> None:
        claim, keys = codec.parse_id(claim_id), self._store.keys(project, queue)
        if claim is not None:
            check_claim(metadata)
        if claim is None or self._store.run(_RENEW, keys, claim, metadata["ttl"], metadata["grace"]) != []:
            raise ClaimDoesNotExist(claim_id, queue, project)

    def renew(
        self, claims: Sequence[tuple[Project, str, str]], metadata: ClaimMetadata
    ) -> Sequence[tuple[Project, str, str]]:
        check_claim(metadata)
        runs = _runs(claims)
        arguments = (metadata["ttl"], metadata["grace"])
        each = [(self._store.keys(*scope), (b"".join(named.values()), *arguments)) for scope, named in runs]
        renewed: set[int] = set()
        for (_, named), reply in zip(runs, self._run_all(_RENEW, each), strict=True):
            if reply is not None:
                places = [*named]
                renewed.update(places)
                renewed.difference_update(places[place] for place in reply)
        return [claim for place, claim in enumerate(claims) if place not in renewed]

    def end_claims(self, holder: str, queues: Sequence[tuple[Project, str]], *, keep: Collection[str] = ()) -> int:
        return sum(self.end_claims_of(holder, queues, keep=keep).values())

    def end_claims_of(
        self, holder: str, queues: Sequence[tuple[Project, str]], *, keep: Collection[str] = ()
    ) -> dict[tuple[Project, str], int]:
        tag, freed = codec.holder_tag(holder), dict.fromkeys(queues, 0)
        kept, scopes = b"".join(codec.parse_ids(list(keep))), [*freed]
        while scopes:
            each = [(self._store.keys(*scope), (tag, kept)) for scope in scopes]
            replies = dict(zip(scopes, self._run_all(_END_CLAIMS, each), strict=True))
            scopes = []
            for scope, reply in replies.items():
                if reply is not None:
                    freed[scope] += reply[0]
                    scopes += [scope] if reply[1] else []
        return freed

    def delete(self, queue: str, claim_id: str, project: Project = None) -> None:
        claim = codec.parse_id(claim_id)
        if claim is not None:
            self._store.run(_RELEASE, self._store.keys(project, queue), claim, b"", 1)

    def release(self, queue: str, claim_id: str, message_ids: Iterable[str], project: Project = None) -> int:
        claim, ids = codec.parse_id(claim_id), codec.parse_ids(list(message_ids))
        if claim is None or not ids:
            return 0
        keys = self._store.keys(project, queue)
        return int(self._store.run(_RELEASE, keys, claim, b"".join(ids), 1) or 0)

    def live_claims(self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT) -> Sequence[LiveClaim]:
        return live_claims(self._store, self._store.keys(project, queue), limit)

    def _run_all(self, script: Script, each: Sequence[tuple[KeySets, tuple[Any, ...]]]) -> list[Any]:
        """Run a repeatable script for several queues in one round trip, and again where the states need it."""
        store, now = self._store, self._store.now()
        replies = store.client.calls(script, [(keys.states, (now, *arguments)) for keys, arguments in each])
        for index, reply in enumerate(replies):
            if reply in RUN_AGAIN:
                keys, arguments = each[index]
                replies[index] = store.run(script, keys, *arguments)
        return replies


def _runs(claims: Sequence[tuple[Project, str, str]]) -> list[tuple[tuple[Project, str], dict[int, bytes]]]:
    """Return the claims for each run of a script: their queue, and their ids by their places; without malformed ids."""
    by_queue: dict[tuple[Project, str], list[dict[int, bytes]]] = defaultdict(list)
    for place, (project, queue, claim_id) in enumerate(claims):
        claim, runs = codec.parse_id(claim_id), by_queue[project, queue]
        if claim is not None:
            if not runs or len(runs[-1]) == _RENEWED_AT_ONCE:
                runs.append({})
            runs[-1][place] = claim
    return [(scope, named) for scope, runs in by_queue.items() for named in runs]
