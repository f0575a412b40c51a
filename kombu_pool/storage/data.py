"""The contract of the messages and claims of the queues that live in one store.

A method that other methods can express has a default here; a driver overrides it where its store can do it at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kombu_pool.errors import (
    ClaimDoesNotExist,
    CorruptRecord,
    DoesNotExist,
    MessageDoesNotExist,
    MessageIsClaimed,
    NotPermitted,
    QueueIsEmpty,
)
from kombu_pool.storage.checksum import add_checksum
from kombu_pool.storage.dead_letters import RESERVATION_TTL, DeadLetterReason
from kombu_pool.storage.inspection import ClaimInspection, MessageInspection
from kombu_pool.storage.keys import KeyMethods
from kombu_pool.storage.queue_metadata import DEFAULT_LIMIT
from kombu_pool.storage.validation import check_sort

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from kombu_pool.model import Claim, ClaimMetadata, IdempotencyKey, Message, NewMessage, Project
    from kombu_pool.storage.queues import QueueController

_POP: ClaimMetadata = {"ttl": RESERVATION_TTL, "grace": 0}


class MessageController(MessageInspection, KeyMethods, ABC):
    """The messages of a store."""

    #: The other controllers of the store, which :class:`DataDriver` sets; the defaults call them.
    queues: QueueController
    claims: ClaimController
    #: Whether :meth:`get` adds ``checksum`` to a message.
    enable_checksum: bool = False

    @abstractmethod
    def post(
        self,
        queue: str,
        messages: Iterable[NewMessage],
        client_uuid: object,
        project: Project = None,
        *,
        idempotency_key: IdempotencyKey | None = None,
        incarnation: str | None = None,
    ) -> Sequence[str]:
        """Store the messages, all of them or none, and return their ids in the order given.

        The messages are durable when this returns. ``client_uuid`` (any value with a text form, or None) names the
        producer for ``list(echo=False)``. Without messages nothing is stored, and ``[]`` is returned.

        In a queue with ``_max_length`` or ``_max_length_bytes`` the first free messages make room for the new ones, in
        the same step: they become dead, or are deleted if the queue names no target for dead letters. Delayed and
        claimed messages are not counted. They may exceed the limit when they become free, as may a dead letter that is
        stored in this queue; the next post makes room for these, too.

        A ``unique`` message is stored if no other message of the queue holds its id. It holds the id, in the same step,
        until its scope ends, by whatever way it leaves that: as a dead letter too, and a message whose claim ended
        waits again and holds it again, unless another message has taken it meanwhile. In place of the id of a message
        that was dropped, a :class:`~kombu_pool.model.PresentId` is returned.

        With an ``idempotency_key`` a producer can retry a post whose result it does not know: the same messages with
        the same key are stored once, and the same ids are returned. This holds when the messages have been consumed or
        deleted meanwhile, and while the first try is still under way. A queue keeps the last key of each producer for
        at least :data:`~kombu_pool.storage.IDEMPOTENCY_WINDOW` seconds.

        Raises:
            QueueDoesNotExist: the queue does not exist, or does not bear the ``incarnation`` if one is given, which is
                checked in the step that stores the messages.
            QueueIsFull: ``_overflow`` is ``reject-publish``, and there is no room for all of them; none was stored.
            MessageNotEncodable, MessageTooLarge, InvalidMessage: a message cannot be stored; none was.
        """

    @abstractmethod
    def list(
        self,
        queue: str,
        project: Project = None,
        marker: str | None = None,
        limit: int = DEFAULT_LIMIT,
        echo: bool = False,
        client_uuid: object = None,
        include_claimed: bool = False,
        include_delayed: bool = False,
    ) -> Iterator[Any]:
        """List messages in order; unless ``echo``, without those that ``client_uuid`` posted.

        The filters apply before the limit. An absent queue or an unknown marker gives an empty page.
        """

    def get(self, queue: str, message_id: str, project: Project = None) -> Message:
        """Return one message in any state but expired.

        Raises:
            QueueDoesNotExist, MessageDoesNotExist: the queue, or the message in it, does not exist.
        """
        for message in self.bulk_get(queue, [message_id], project):
            return add_checksum(message) if self.enable_checksum else message
        self.queues.get(queue, project)
        raise MessageDoesNotExist(message_id, queue, project)

    def first(self, queue: str, project: Project = None, sort: int = 1) -> Message:
        """Return the first free message in order, or the last with ``sort`` -1.

        Raises:
            QueueDoesNotExist: the queue does not exist.
            QueueIsEmpty: the queue has no free message.
            ValueError: ``sort`` is neither 1 nor -1.
        """
        check_sort(sort)
        messages = list(next(self.list(queue, project, limit=1 if sort == 1 else 0, echo=True)))
        if messages:
            found: Message = messages[-1]
            return found
        self.queues.get(queue, project)
        raise QueueIsEmpty(queue, project)

    @abstractmethod
    def bulk_get(self, queue: str, message_ids: Iterable[str], project: Project = None) -> Iterator[Message]:
        """Return those of the messages that exist, as an iterator."""

    @abstractmethod
    def delete(self, queue: str, message_id: str, project: Project = None, claim: str | None = None) -> None:
        """Delete a message; a claimed one only under its claim. An absent queue or message is no error.

        Raises:
            MessageIsClaimed: a live claim holds it and ``claim`` is None.
            MessageNotClaimedBy: a live claim holds it, but not ``claim``, which is live too.
            MessageNotClaimed: ``claim`` is given, but no live claim holds the message.
            ClaimDoesNotExist: ``claim`` is malformed; or ``claim`` is unknown and a live claim holds the message.
        """

    @abstractmethod
    def bulk_delete(
        self, queue: str, message_ids: Iterable[str], project: Project = None, claim_ids: Sequence[str] | None = None
    ) -> None:
        """Delete messages: in any state without ``claim_ids``, else only if those claims hold them all.

        Unknown messages are skipped.

        Raises:
            MessageNotClaimed: ``claim_ids`` are given and one of the messages is not claimed; none was deleted.
            ClaimDoesNotMatch: a claim that is not listed holds one of them; none was deleted.
        """

    def pop(self, queue: str, limit: int, project: Project = None) -> Sequence[Message]:
        """Claim up to ``limit`` free messages and delete them; ``claim_count`` includes this claim.

        No other consumer receives a returned message. A crash in between, where these are two steps, loses none.
        """
        ttls: dict[str, float] = {}
        with suppress(CorruptRecord):
            # The claim extends the ttl of a message that would expire before it.
            ttls = {one["id"]: one["ttl"] for one in next(self.list(queue, project, limit=max(limit, 1), echo=True))}
        claim_id, messages = self.claims.create(queue, _POP, project, limit)
        if claim_id is None:
            return []
        refused = {pair[0] for pair in self.delete_claimed(queue, [(one["id"], claim_id) for one in messages], project)}
        popped = [message for message in messages if message["id"] not in refused]
        return [{**one, "claim_id": None, "ttl": ttls.get(one["id"], one["ttl"])} for one in popped]

    # Beyond Zaqar's contract.

    def delete_claimed(
        self, queue: str, held: Sequence[tuple[str, str]], project: Project = None
    ) -> Sequence[tuple[str, str]]:
        """Delete each (message id, claim id) whose live claim still holds the message.

        Checked and deleted in one step for each message, and with one call to the store where it can. A claim ends with
        its last message.

        Returns:
            The pairs that were not deleted: the claim has ended, or never held the message. A message that another
            process deleted while the claim held it may count as deleted.
        """
        existing = {message["id"] for message in self.bulk_get(queue, [message for message, _ in held], project)}
        refused = []
        for message, claim in held:
            try:
                if message in existing:
                    self.delete(queue, message, project, claim)
                    existing.discard(message)
                    continue
            except (NotPermitted, DoesNotExist):
                pass
            refused.append((message, claim))
        return refused

    @abstractmethod
    def reject(
        self,
        queue: str,
        held: Sequence[tuple[str, str]],
        project: Project = None,
        *,
        reason: str = DeadLetterReason.REJECTED,
    ) -> Sequence[tuple[str, str]]:
        """Dead-letter each (message id, claim id) whose live claim still holds the message, for that reason.

        Returns as :meth:`delete_claimed` does; without a target for dead letters it deletes them likewise.
        """

    def delayed_ids(self, queue: str, project: Project = None, limit: int = DEFAULT_LIMIT) -> Sequence[str]:
        """Return the ids of up to ``limit`` delayed messages; an absent queue has none.

        Where the store can, these are the messages that are due first, in order.
        """
        free = {message["id"] for message in next(self.list(queue, project, limit=0, echo=True))}
        both = next(self.list(queue, project, limit=0, echo=True, include_delayed=True))
        return [message["id"] for message in both if message["id"] not in free][:limit]

    def purge(self, queue: str, project: Project = None) -> int:
        """Delete every message that is not claimed; return their number. Absent queue: 0."""
        purged = 0
        for message in list(next(self.list(queue, project, limit=0, echo=True, include_delayed=True))):
            with suppress(MessageIsClaimed):
                self.delete(queue, message["id"], project)
                purged += 1
        return purged

    def count(self, queue: str, project: Project = None) -> int:
        """Count the free messages. Absent queue: 0."""
        return len(list(next(self.list(queue, project, limit=0, echo=True))))


class ClaimController(ClaimInspection, ABC):
    """Claims of messages, each for one holder at a time.

    Whatever takes the metadata of a claim raises InvalidClaim, before anything is written, if they are none.
    """

    #: The messages of the store, which :class:`DataDriver` sets; a default calls it.
    messages: MessageController

    @abstractmethod
    def create(
        self,
        queue: str,
        metadata: ClaimMetadata,
        project: Project = None,
        limit: int = DEFAULT_LIMIT,
        *,
        incarnation: str | None = None,
    ) -> tuple[str | None, Sequence[Message]]:
        """Claim up to ``limit`` free messages, in order; return the claim's id and the messages.

        Atomic: no two claims ever hold one message. Each claim adds one to ``claim_count``, and the returned messages
        include it. A message that would expire before the claim is kept until the claim's end plus
        ``metadata["grace"]`` seconds, and its ttl becomes the claim's plus ``grace``. Without a free message, with
        ``limit`` 0 and for an absent queue it returns ``(None, [])`` and writes nothing.

        A message that has been claimed ``_max_claim_count`` times is dead-lettered instead, as the package's docstring
        specifies, and the messages behind it are claimed.

        A record that cannot be decoded is dead-lettered likewise, to ``_dead_letter_queue`` or to
        :data:`UNREADABLE_QUEUE`, with the body ``{"record": the bytes, "error": the error's text}``; the messages
        behind it are claimed. Any other read of such a record raises :class:`~kombu_pool.errors.CorruptRecord`.

        Raises:
            QueueDoesNotExist: an ``incarnation`` is given, and there is no queue that bears it.
        """

    @abstractmethod
    def get(self, queue: str, claim_id: str, project: Project = None) -> tuple[Claim, Sequence[Message]]:
        """Return the claim and the messages that it still holds, in order.

        Raises:
            ClaimDoesNotExist: the claim has ended or never existed; a claim ends when its last message is deleted.
        """

    @abstractmethod
    def update(self, queue: str, claim_id: str, metadata: ClaimMetadata, project: Project = None) -> None:
        """Renew the claim: it ends ``metadata["ttl"]`` seconds from now.

        A message that would expire before the claim is kept until the claim's end plus ``grace`` seconds.

        Raises:
            ClaimDoesNotExist: the claim has ended; another claim may hold its messages.
        """

    def renew(
        self, claims: Sequence[tuple[Project, str, str]], metadata: ClaimMetadata
    ) -> Sequence[tuple[Project, str, str]]:
        """Renew each (project, queue, claim id), all different, as :meth:`update` does; return those that have ended.

        With one call to the store where it can. Only the claims that are named are renewed: a claim whose id got lost
        with an answer ends with its ttl.
        """
        ended = []
        for project, queue, claim_id in claims:
            try:
                self.update(queue, claim_id, metadata, project)
            except DoesNotExist:
                ended.append((project, queue, claim_id))
        return ended

    @abstractmethod
    def end_claims(self, holder: str, queues: Sequence[tuple[Project, str]], *, keep: Collection[str] = ()) -> int:
        """End the claims that a holder has in some queues, each given as (project, queue), except those to ``keep``.

        Their messages become free at once, at their old places, and count as claimed. Returns how many.
        """

    def delete(self, queue: str, claim_id: str, project: Project = None) -> None:
        """End the claim and free its messages at once, at their old places. Idempotent."""
        with suppress(ClaimDoesNotExist):
            _, messages = self.get(queue, claim_id, project)
            self.release(queue, claim_id, [message["id"] for message in messages], project)

    # Beyond Zaqar's contract.

    def end_claims_of(
        self, holder: str, queues: Sequence[tuple[Project, str]], *, keep: Collection[str] = ()
    ) -> Mapping[tuple[Project, str], int]:
        """End the claims of a holder that has died, as :meth:`end_claims` does; return how many for each queue.

        In pooling the queues of an unreachable pool are absent; then their claims have not ended.
        """
        return {scope: self.end_claims(holder, [scope], keep=keep) for scope in dict.fromkeys(queues)}

    def ack_and_claim(
        self,
        queue: str,
        held: Sequence[tuple[str, str]],
        metadata: ClaimMetadata,
        project: Project = None,
        limit: int = DEFAULT_LIMIT,
        *,
        incarnation: str | None = None,
    ) -> tuple[Sequence[tuple[str, str]], str | None, Sequence[Message]]:
        """Delete held messages and claim the next ones, in one round trip where the store can.

        Deletes each (message id, claim id) of ``held`` as :meth:`MessageController.delete_claimed` does, then claims as
        :meth:`create` does, and returns the results of both.

        Raises:
            QueueDoesNotExist: as :meth:`create`; nothing was deleted, or it cannot be told.
        """
        refused = self.messages.delete_claimed(queue, held, project)
        return refused, *self.create(queue, metadata, project, limit, incarnation=incarnation)

    @abstractmethod
    def claim_by_id(
        self, queue: str, message_ids: Iterable[str], metadata: ClaimMetadata, project: Project = None
    ) -> tuple[str | None, Sequence[Message]]:
        """Claim those of the messages that are free, wherever they stand; return as :meth:`create` does.

        Nothing is dead-lettered: a message at its delivery limit is claimed, and one that cannot be decoded is
        skipped.
        """

    @abstractmethod
    def release(self, queue: str, claim_id: str, message_ids: Iterable[str], project: Project = None) -> int:
        """Free those of the messages that the claim holds, at their old places; return their number."""
