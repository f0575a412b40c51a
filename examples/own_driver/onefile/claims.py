"""Claims."""

import re
import secrets

from kombu_pool import storage
from kombu_pool.errors import ClaimDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.storage.validation import check_claim


class ClaimController(storage.ClaimController):
    """The claims of the file."""

    def __init__(self, store, dead_letters):
        self._store = store
        self._dead_letters = dead_letters

    def create(self, queue, metadata, project=None, limit=DEFAULT_LIMIT, *, incarnation=None):
        check_claim(metadata)
        claim_id, claimed, returned = secrets.token_hex(8), [], set()
        while True:
            exhausted = None
            with self._store.change() as (state, now):
                if incarnation is not None:
                    state.require(project, queue, now, incarnation)
                found = state.find(project, queue, now)
                most = found.policy.max_claim_count
                free = [] if found.paused else found.select(now)
                for message in free[: limit - len(claimed)]:
                    if most and message.claim_count >= most and message.id not in returned:
                        exhausted = message
                        found.mark_dead(message, DeadLetterReason.DELIVERY_LIMIT)
                        break
                    claimed.append(_claim(found, message, claim_id, metadata, now))
            self._dead_letters.dead_letter_some((project, queue))
            if exhausted is None:
                return (claim_id, claimed) if claimed else (None, [])
            # No store takes it if it comes back: then it is claimed once more.
            returned.add(exhausted.id)

    def ack_and_claim(self, queue, held, metadata, project=None, limit=DEFAULT_LIMIT, *, incarnation=None):
        check_claim(metadata)
        with self._store.read() as (state, now):
            if incarnation is not None:
                state.require(project, queue, now, incarnation)
        return super().ack_and_claim(queue, held, metadata, project, limit, incarnation=incarnation)

    def get(self, queue, claim_id, project=None):
        with self._store.read() as (state, now):
            found = _require(state, queue, claim_id, project, now)
        ttl, since, _ = found.claims[claim_id]
        claim = {"id": claim_id, "age": max(0, int(now - since)), "ttl": ttl}
        return claim, [message.show(now) for message in found.held_by(claim_id)]

    def update(self, queue, claim_id, metadata, project=None):
        if is_claim_id(claim_id):
            check_claim(metadata)
        with self._store.change() as (state, now):
            found = _require(state, queue, claim_id, project, now)
            found.claims[claim_id] = metadata["ttl"], now, found.claims[claim_id][2]
            for message in found.held_by(claim_id):
                _extend_expiry(message, metadata, now)

    def end_claims(self, holder, queues, *, keep=()):
        freed = 0
        with self._store.change() as (state, now):
            for project, queue in queues:
                found = state.find(project, queue, now)
                held = [claim_id for claim_id, (_, _, of) in found.claims.items() if of == holder]
                for claim_id in set(held).difference(keep):
                    freed += len(found.held_by(claim_id))
                    del found.claims[claim_id]
        return freed

    def claim_by_id(self, queue, message_ids, metadata, project=None):
        check_claim(metadata)
        claim_id, wanted = secrets.token_hex(8), set(message_ids)
        with self._store.change() as (state, now):
            found = state.find(project, queue, now)
            free = [message for message in found.select(now) if message.id in wanted]
            claimed = [_claim(found, message, claim_id, metadata, now) for message in free]
        return (claim_id, claimed) if claimed else (None, [])

    def release(self, queue, claim_id, message_ids, project=None):
        wanted = set(message_ids)
        with self._store.change() as (state, now):
            found = state.find(project, queue, now)
            held = [message for message in found.held_by(claim_id) if message.id in wanted]
            for message in held:
                message.claim_id = None
            found.end_if_empty(claim_id)
        return len(held)


def is_claim_id(claim_id):
    """Return whether the text has the form of a claim's id."""
    return re.fullmatch("[0-9a-f]{16}", claim_id) is not None


def _claim(queue, message, claim_id, metadata, now):
    queue.claims[claim_id] = metadata["ttl"], now, metadata.get("holder")
    message.claim_id = claim_id
    message.claim_count += 1
    _extend_expiry(message, metadata, now)
    return message.show(now)


def _extend_expiry(message, metadata, now):
    if message.expires < now + metadata["ttl"]:
        message.ttl = metadata["ttl"] + metadata["grace"]
        message.expires = now + message.ttl


def _require(state, queue, claim_id, project, now):
    found = state.find(project, queue, now)
    if claim_id not in found.claims:
        raise ClaimDoesNotExist(claim_id, queue, project)
    return found
