"""What a batch and a buffer ask of the channel that posts their messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.model import IdempotencyKey, NewMessage


class PostingChannel(Protocol):
    """Routes a message, and posts messages to one queue."""

    def routed(
        self, message: Any, exchange: str, routing_key: str, mandatory: bool = False, **options: Any
    ) -> tuple[NewMessage, Sequence[str]]:
        """Return a message as it is posted, and the queues that it is routed to."""

    def post(
        self,
        queue: str,
        messages: Sequence[NewMessage],
        mandatory: bool = False,
        idempotency_key: IdempotencyKey | None = None,
        *,
        one_by_one: bool = False,
    ) -> None:
        """Post messages to a queue."""
