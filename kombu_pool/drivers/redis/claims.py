"""The controller of claims."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from kombu_pool.drivers.records import to_seconds
from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.claiming import Claimer
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import ClaimDoesNotExist

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_pool.model import Claim, ClaimMetadata, Message, Project

_RELEASE = script("release", writes=False)
_GET = script("get_claim", repeatable=True, writes=False)
_RENEW = script("renew", repeatable=True, writes=False)


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
        claim = codec.parse_id(claim_id)
        keys = self._store.keys(project, queue)
        if claim is None or not self._store.run(_RENEW, keys, claim, metadata["ttl"], metadata["grace"]):
            raise ClaimDoesNotExist(claim_id, queue, project)

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
