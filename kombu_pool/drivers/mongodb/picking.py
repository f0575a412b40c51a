"""How messages leave the line wherever they stand: to whoever names them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.mongodb import layout, states
from kombu_pool.errors import CorruptRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.looking import Lookout
    from kombu_pool.model import ClaimMetadata, Message, Project

#: What frees the unreadable, as if nobody had lent them.
_UNTOUCHED: list[dict[str, Any]] = [states.RELEASED, {"$set": {"n": {"$subtract": ["$n", 1]}}}]


def claim_by_id(
    store: Lookout, queue: str, ids: Sequence[bytes], metadata: ClaimMetadata, project: Project
) -> tuple[str | None, Sequence[Message]]:
    """Lend as ``ClaimController.claim_by_id`` promises; a claim whose answer gets lost holds them until it ends."""
    now, claim = store.now(), layout.new_claim()
    found = store.settled(project, queue, now)
    if found is None or not ids:
        return None, []
    free = {**found.scope, **states.in_line(now), "_id": {"$in": list(ids)}}
    store.awaits(project, queue, now + metadata["ttl"])
    store.messages.update_many(
        free, states.held(claim, now, metadata["ttl"], metadata["grace"], lent=True), hint=states.BY_ID
    )
    held = {**found.scope, "s": layout.WAITING, "c": claim}
    messages, unreadable = [], []
    for stored in sorted(store.messages.find(held, hint=states.BY_CLAIM), key=lambda one: bytes(one["_id"])):
        try:
            messages.append(layout.shown(stored, now))
        except CorruptRecord:
            unreadable.append(stored["_id"])
    if unreadable:
        store.messages.update_many({**held, "_id": {"$in": unreadable}}, _UNTOUCHED)
    return (claim, messages) if messages else (None, [])
