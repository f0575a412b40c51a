"""How a stored message and a stored claim are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool import codec

if TYPE_CHECKING:
    from kombu_pool.drivers.memory.backlog import StoredClaim, StoredMessage
    from kombu_pool.model import Claim, Message


def shown(message: StoredMessage, now: float) -> Message:
    """Return the message for the caller to keep.

    Raises:
        CorruptRecord: its record cannot be decoded.
    """
    view: Message = {
        "id": message.id,
        "age": max(0, int(now - message.created)),
        "ttl": message.ttl,
        "body": codec.decode(message.record),
        "claim_id": message.claim_id,
        "claim_count": message.claim_count,
    }
    if message.priority:
        view["priority"] = message.priority
    if message.dead_letter is not None:
        view["dead_letter"] = message.dead_letter.copy()
    return view


def shown_claim(claim: StoredClaim, now: float) -> Claim:
    """Return the claim for the caller to keep."""
    return {"id": claim.id, "age": max(0, int(now - claim.since)), "ttl": claim.ttl}
