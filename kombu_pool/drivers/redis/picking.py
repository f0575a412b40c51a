"""How messages leave the line wherever they stand: to whoever names them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kombu_pool.drivers.redis import codec
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import CorruptRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.redis.keys import KeySets
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.model import ClaimMetadata, Message

_PICK = script("claim_by_id", writes=False)
_RELEASE = script("release", writes=False)


def claim_by_id(
    store: Store, keys: KeySets, ids: Sequence[bytes], metadata: ClaimMetadata
) -> tuple[str | None, Sequence[Message]]:
    """Lend as ``ClaimController.claim_by_id`` promises; a claim whose answer gets lost holds them until it ends."""
    claim = os.urandom(codec.ID_BYTES)
    found = store.run(_PICK, keys, claim, metadata["ttl"], metadata["grace"], b"".join(sorted(ids)))
    if not found:
        return None, []
    lent, records, marks, now = found
    messages, unreadable = [], []
    for index, message in enumerate(codec.split(lent)):
        count = codec.mark(marks, index)[0]
        try:
            messages.append(codec.shown(message, records[index], claim.hex(), count + 1, float(now)))
        except CorruptRecord:
            unreadable.append(message)
    if unreadable:
        store.run(_RELEASE, keys, claim, b"".join(unreadable), 0)
    return (claim.hex(), messages) if messages else (None, [])
