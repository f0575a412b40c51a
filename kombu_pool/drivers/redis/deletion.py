"""What is asked of the script that deletes messages under their claims, and what its answer says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.scripts import script

if TYPE_CHECKING:
    from collections.abc import Sequence

ACK = script("ack", writes=False)


class Acknowledgement:
    """(message id, claim id) pairs, by claim."""

    def __init__(self, held: Sequence[tuple[str, str]]) -> None:
        self._held = held
        by_claim: dict[str, list[str]] = {}
        for message_id, claim_id in held:
            by_claim.setdefault(claim_id, []).append(message_id)
        #: The script's arguments after the time: for each claim its id, and those of its messages.
        self.arguments: list[bytes] = []
        self._asked: list[tuple[str, list[bytes]]] = []
        for claim_id, message_ids in by_claim.items():
            claim, ids = codec.id_of(claim_id), codec.ids_of(message_ids)
            if claim is not None and ids:
                self.arguments += (claim, b"".join(ids))
                self._asked.append((claim_id, ids))

    def refused(self, left: Sequence[bytes]) -> list[tuple[str, str]]:
        """Return the pairs that were not deleted, by the script's answer."""
        if not any(left) and sum(len(ids) for _, ids in self._asked) == len(self._held):
            return []
        gone = {
            (message.hex(), claim_id)
            for (claim_id, ids), kept in zip(self._asked, left, strict=True)
            for message in set(ids).difference(codec.split(kept))
        }
        return [pair for pair in self._held if pair not in gone]
