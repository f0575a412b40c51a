"""Arguments and replies of the scripts that delete or reject messages under their claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.scripts import script

if TYPE_CHECKING:
    from collections.abc import Sequence

ACK = script("ack")


class ClaimedPairs:
    """Pairs of message id and claim id, grouped by claim."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs = pairs
        by_claim: dict[str, list[str]] = {}
        for message_id, claim_id in pairs:
            by_claim.setdefault(claim_id, []).append(message_id)
        #: The script's arguments after the time: the id of each claim, and those of its messages.
        self.arguments: list[bytes] = []
        self._sent: list[tuple[str, list[bytes]]] = []
        for claim_id, message_ids in by_claim.items():
            claim, ids = codec.parse_id(claim_id), codec.parse_ids(message_ids)
            if claim is not None and ids:
                self.arguments += (claim, b"".join(ids))
                self._sent.append((claim_id, ids))

    def refused(self, reply: Sequence[bytes]) -> list[tuple[str, str]]:
        """Return the pairs whose messages were not deleted, from the script's reply: those ids for each claim.

        An empty reply: none was deleted.
        """
        if not reply:
            return list(self._pairs)
        if not any(reply) and sum(len(ids) for _, ids in self._sent) == len(self._pairs):
            return []
        done = {
            (message_id.hex(), claim_id)
            for (claim_id, ids), refused in zip(self._sent, reply, strict=True)
            for message_id in set(ids).difference(codec.split_ids(refused))
        }
        return [pair for pair in self._pairs if pair not in done]
