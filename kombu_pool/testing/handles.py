"""One queue of a driver under test, with the calls that tests make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kombu_pool.model import (
        Claim,
        ClaimMetadata,
        FoundMessage,
        IdempotencyKey,
        KeyResult,
        Message,
        Project,
        RedriveResult,
    )
    from kombu_pool.storage import DataDriver
    from kombu_pool.storage.inspection import LiveClaim

UNKNOWN_ID = "0123456789abcdef"


class ClaimResult(NamedTuple):
    """What ``claim_controller.create`` returns: the claim's id, None with no messages, and the messages."""

    id: Any
    messages: Sequence[Message]


def page_of(listing: Any) -> tuple[list[Any], Any]:
    """Return the page and the marker of a listing."""
    return list(next(listing)), next(listing)


def bodies(source: ClaimResult | Iterable[Message]) -> list[Any]:
    """Return the bodies of messages, or of a claim's messages."""
    return [message["body"] for message in (source.messages if isinstance(source, ClaimResult) else source)]


def ids(source: ClaimResult | Iterable[Message]) -> list[str]:
    """Return the ids of messages, or of a claim's messages."""
    return [message["id"] for message in (source.messages if isinstance(source, ClaimResult) else source)]


def dead_letters(queue: QueueHandle) -> list[tuple[Any, str, int]]:
    """Return the body, the reason and the claim count of each free dead letter."""
    headers = [(message["body"], message["dead_letter"]) for message in queue.page(limit=0)[0]]
    return [(body, header["reason"], header["count"]) for body, header in headers]


class HookCalls(list[tuple[Any, ...]]):
    """The calls of a dead-letter hook, which returns or raises ``answer``."""

    answer: bool | Exception = True

    def __call__(self, *call: Any) -> bool:
        """Record a call."""
        self.append(call)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class QueueHandle:
    """A queue, which may be absent."""

    def __init__(self, driver: DataDriver, name: str, project: Project) -> None:
        self.driver = driver
        self.name = name
        self.project = project

    def post(
        self,
        *bodies: Any,
        client: object = "producer",
        ttl: float | None = None,
        idempotency_key: IdempotencyKey | None = None,
        **options: Any,
    ) -> list[str]:
        """Post a message for each body, and return their ids."""
        return self.post_raw([{"ttl": ttl, "body": body, **options} for body in bodies], client, idempotency_key)

    def post_raw(
        self, messages: Any, client: object = "producer", idempotency_key: IdempotencyKey | None = None
    ) -> list[str]:
        post = self.driver.message_controller.post
        return list(post(self.name, messages, client, project=self.project, idempotency_key=idempotency_key))

    def claim(self, limit: int = 10, ttl: float = 60, grace: float = 0, holder: str | None = None) -> ClaimResult:
        metadata = _metadata(ttl, grace, holder)
        return ClaimResult(*self.driver.claim_controller.create(self.name, metadata, project=self.project, limit=limit))

    def claim_by_id(
        self, message_ids: Iterable[str], ttl: float = 60, grace: float = 0, holder: str | None = None
    ) -> ClaimResult:
        metadata = _metadata(ttl, grace, holder)
        return ClaimResult(
            *self.driver.claim_controller.claim_by_id(self.name, message_ids, metadata, project=self.project)
        )

    def claim_of(self, claim_id: str) -> tuple[Claim, list[Message]]:
        claim, messages = self.driver.claim_controller.get(self.name, claim_id, project=self.project)
        return claim, list(messages)

    def live_claims(self, limit: int = 10) -> list[LiveClaim]:
        return list(self.driver.claim_controller.live_claims(self.name, self.project, limit))

    def claimed_by(self, held: ClaimResult) -> list[Any]:
        """Return the bodies that a claim still holds."""
        return bodies(self.claim_of(held.id)[1])

    def renew(self, claim_id: str, ttl: float = 60, grace: float = 0) -> None:
        self.driver.claim_controller.update(self.name, claim_id, {"ttl": ttl, "grace": grace}, project=self.project)

    def renew_all(self, claim_ids: Iterable[str], ttl: float = 60, grace: float = 0) -> list[str]:
        """Renew claims with one call; return the ids of those that have ended."""
        named = [(self.project, self.name, claim_id) for claim_id in claim_ids]
        return [ended[2] for ended in self.driver.claim_controller.renew(named, {"ttl": ttl, "grace": grace})]

    def end_claims(self, holder: str, keep: Iterable[str] = ()) -> int:
        return self.driver.claim_controller.end_claims(holder, [(self.project, self.name)], keep=list(keep))

    def end(self, claim_id: str) -> None:
        self.driver.claim_controller.delete(self.name, claim_id, project=self.project)

    def release(self, claim_id: str, message_ids: Iterable[str]) -> int:
        return self.driver.claim_controller.release(self.name, claim_id, message_ids, project=self.project)

    def get(self, message_id: str) -> Message:
        return self.driver.message_controller.get(self.name, message_id, project=self.project)

    def get_all(self, message_ids: Iterable[str]) -> list[Message]:
        return list(self.driver.message_controller.bulk_get(self.name, message_ids, project=self.project))

    def first(self, *sort: int) -> Message:
        return self.driver.message_controller.first(self.name, self.project, *sort)

    def page(self, **options: Any) -> tuple[list[Message], Any]:
        return page_of(self.driver.message_controller.list(self.name, project=self.project, **options))

    def free(self) -> list[Any]:
        """Return the bodies of the free messages."""
        return bodies(self.page(limit=0)[0])

    def all(self) -> list[Any]:
        """Return the bodies of the free, delayed and claimed messages."""
        return bodies(self.page(limit=0, include_claimed=True, include_delayed=True)[0])

    def delayed(self, limit: int = 10) -> list[Any]:
        """Return the bodies of the delayed messages."""
        return bodies(self.get_all(self.driver.message_controller.delayed_ids(self.name, self.project, limit)))

    def delete(self, message_id: str, claim: str | None = None) -> None:
        self.driver.message_controller.delete(self.name, message_id, project=self.project, claim=claim)

    def delete_all(self, message_ids: Iterable[str], **options: Any) -> None:
        self.driver.message_controller.bulk_delete(self.name, message_ids, project=self.project, **options)

    def delete_claimed(self, held: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        refused = self.driver.message_controller.delete_claimed(self.name, held, project=self.project)
        return [(message_id, claim_id) for message_id, claim_id in refused]

    def reject(self, held: ClaimResult, **options: Any) -> list[tuple[str, str]]:
        """Reject every message of a claim."""
        pairs = [(message["id"], held.id) for message in held.messages]
        refused = self.driver.message_controller.reject(self.name, pairs, project=self.project, **options)
        return [(message_id, claim_id) for message_id, claim_id in refused]

    def pop(self, limit: int = 10) -> list[Message]:
        return list(self.driver.message_controller.pop(self.name, limit, project=self.project))

    def purge(self) -> int:
        return self.driver.message_controller.purge(self.name, project=self.project)

    def count(self) -> int:
        return self.driver.message_controller.count(self.name, project=self.project)

    def find(self, key: str) -> list[FoundMessage]:
        """Return the messages with a key."""
        return self.driver.message_controller.find(key, self.name, self.project).messages

    def cancel(self, key: str) -> KeyResult:
        return self.driver.message_controller.cancel(key, self.name, self.project)

    def change(self, key: str, due: float | None = None, priority: int | None = None) -> KeyResult:
        return self.driver.message_controller.change(key, due, priority, self.name, self.project)

    def redrive(self, **options: Any) -> RedriveResult:
        return self.driver.redrive(self.name, self.project, **options)

    def stats(self) -> dict[str, Any]:
        messages: dict[str, Any] = self.driver.queue_controller.stats(self.name, project=self.project)["messages"]
        return messages

    def pause(self) -> None:
        self.driver.queue_controller.pause(self.name, self.project)

    def resume(self) -> None:
        self.driver.queue_controller.resume(self.name, self.project)

    def is_paused(self) -> bool:
        return "paused" in self.driver.queue_controller.stats(self.name, self.project)

    def drop(self) -> None:
        self.driver.queue_controller.delete(self.name, project=self.project)

    def create(self, **metadata: Any) -> bool:
        return self.driver.queue_controller.create(self.name, metadata, project=self.project)


def _metadata(ttl: float, grace: float, holder: str | None) -> ClaimMetadata:
    metadata: ClaimMetadata = {"ttl": ttl, "grace": grace}
    if holder is not None:
        metadata["holder"] = holder
    return metadata
