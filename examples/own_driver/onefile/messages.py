"""Messages."""

import re
from math import inf

from kombu_pool import errors, storage
from kombu_pool.storage import DEFAULT_LIMIT, IDEMPOTENCY_WINDOW, page
from kombu_pool.storage.dead_letters import DeadLetterReason
from kombu_pool.storage.policy import read
from kombu_pool.storage.unique import UniquePost
from kombu_pool.storage.validation import effective_delay, effective_ttl, validate
from onefile import unique
from onefile.claims import is_claim_id
from onefile.message_keys import KeyedMessages
from onefile.store import StoredMessage

_MARKER = re.compile(r"(-?[0-9]{1,3})\.([0-9]{1,20})", re.ASCII)


class MessageController(KeyedMessages, storage.MessageController):
    """The messages of the file."""

    def __init__(self, store, dead_letters, options):
        self._store = store
        self._dead_letters = dead_letters
        self._max_size = options["max_message_size"]
        self.enable_checksum = options["enable_checksum"]

    def post(self, queue, messages, client_uuid, project=None, *, idempotency_key=None, incarnation=None):
        incoming = [validate(message, self._max_size) for message in messages]
        if not incoming:
            return []
        with self._store.change() as (state, now):
            found = state.require(project, queue, now, incarnation)
            before = found.posts.get(idempotency_key.producer) if idempotency_key else None
            if before is not None and before[0] >= idempotency_key.sequence:
                return before[2]
            post = UniquePost(incoming)
            post.drop([unique.settle(found, message, now) for message in post.messages])
            new = [_to_store(state, found, message, client_uuid, now) for message in post.stored]
            if found.policy.rejects_overflow and not _fits(found, found.select(now), [m for m in new if m.due <= now]):
                raise errors.QueueIsFull(queue, project)
            found.messages |= {message.id: message for message in new}
            _make_room(found, now)
            ids = post.ids([message.id for message in new])
            unique.hold(found, zip(post.stored, new, strict=True), now)
            if idempotency_key:
                found.posts = {key: post for key, post in found.posts.items() if post[1] > now - IDEMPOTENCY_WINDOW}
                found.posts[idempotency_key.producer] = idempotency_key.sequence, now, ids
        self._dead_letters.dead_letter_some((project, queue))
        return ids

    def list(
        self,
        queue,
        project=None,
        marker=None,
        limit=DEFAULT_LIMIT,
        echo=False,
        client_uuid=None,
        include_claimed=False,
        include_delayed=False,
    ):
        after = _MARKER.fullmatch(marker or f"{-999}.0")
        if after is None:
            return page([], str)
        place, hidden = (int(after[1]), int(after[2])), None if echo or client_uuid is None else str(client_uuid)
        with self._store.read() as (state, now):
            found = state.find(project, queue, now).select(inf if include_delayed else now, claimed=include_claimed)
        found = [m for m in found if m.order > place and (hidden is None or m.client != hidden)][: limit or None]
        return iter(([message.show(now) for message in found], "{}.{}".format(*found[-1].order) if found else ""))

    def bulk_get(self, queue, message_ids, project=None):
        with self._store.read() as (state, now):
            messages = state.find(project, queue, now).messages
        return iter([messages[one].show(now) for one in dict.fromkeys(message_ids) if one in messages])

    def delete(self, queue, message_id, project=None, claim=None):
        with self._store.change() as (state, now):
            found = state.find(project, queue, now)
            if (project, queue) in state.queues and claim is not None and not is_claim_id(claim):
                raise errors.ClaimDoesNotExist(claim, queue, project)
            message = found.messages.get(message_id)
            if message is None:
                return
            is_claimed = message.claim_id in found.claims
            if claim is not None and not is_claimed:
                raise errors.MessageNotClaimed(message_id)
            if claim is None and is_claimed:
                raise errors.MessageIsClaimed(message_id)
            if is_claimed and message.claim_id != claim:
                is_live = claim in found.claims
                raise (
                    errors.MessageNotClaimedBy(message_id, claim)
                    if is_live
                    else errors.ClaimDoesNotExist(claim, queue, project)
                )
            found.remove(message)

    def bulk_delete(self, queue, message_ids, project=None, claim_ids=None):
        with self._store.change() as (state, now):
            found = state.find(project, queue, now)
            messages = [found.messages[one] for one in dict.fromkeys(message_ids) if one in found.messages]
            for message in messages if claim_ids is not None else ():
                if message.claim_id not in found.claims:
                    raise errors.MessageNotClaimed(message.id)
                if message.claim_id not in claim_ids:
                    raise errors.ClaimDoesNotMatch(message.claim_id, queue, project)
            for message in messages:
                found.remove(message)

    def delayed_ids(self, queue, project=None, limit=DEFAULT_LIMIT):
        with self._store.read() as (state, now):
            delayed = [message for message in state.find(project, queue, now).messages.values() if message.due > now]
        return [message.id for message in sorted(delayed, key=lambda message: message.due)[:limit]]

    def reject(self, queue, held, project=None, *, reason=DeadLetterReason.REJECTED):
        refused = []
        with self._store.change() as (state, now):
            found = state.find(project, queue, now)
            for message_id, claim_id in held:
                message = found.messages.get(message_id)
                if message not in found.held_by(claim_id):
                    refused.append((message_id, claim_id))
                elif found.policy.has_dlq:
                    found.mark_dead(message, reason)
                else:
                    found.remove(message)
        self._dead_letters.dead_letter_some((project, queue))
        return refused


def _to_store(state, queue, incoming, client_uuid, now):
    number, metadata = state.next_number(), read(queue.metadata)
    ttl, due = effective_ttl(incoming, metadata), now + effective_delay(incoming, metadata)
    message = StoredMessage(number, incoming.record, now, ttl, now + ttl if ttl else inf, incoming.priority, due)
    message.client, message.header = None if client_uuid is None else str(client_uuid), incoming.dead_letter
    message.key = incoming.key
    return message


def _fits(queue, free, new):
    return not new or queue.policy.fits(len(free) + len(new), sum(len(message.record) for message in [*free, *new]))


def _make_room(queue, now):
    free = queue.select(now)
    while not _fits(queue, [], free):
        if queue.policy.has_dlq:
            queue.mark_dead(free.pop(0), DeadLetterReason.MAX_LENGTH)
        else:
            queue.remove(free.pop(0))
