"""The queue metadata that a store interprets, and the list protocol of both planes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from kombu_pool.errors import DoesNotExist

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

DEFAULT_LIMIT = 10

#: Queue metadata that a store interprets. Any other key is stored and returned.
DEFAULT_MESSAGE_TTL = "_default_message_ttl"  # seconds: the longest ttl of a message, after its delay
DEFAULT_MESSAGE_DELAY = "_default_message_delay"  # seconds: the delay of a message without one
MAX_CLAIM_COUNT = "_max_claim_count"  # the delivery limit: the claims of a message before it is dead-lettered
DEAD_LETTER_QUEUE = "_dead_letter_queue"  # the queue of the same project for dead letters
DEAD_LETTER_TTL = "_dead_letter_queue_messages_ttl"  # seconds: the ttl of dead letters in that queue
DEAD_LETTER_EXCHANGE = (
    "_dead_letter_exchange"  # the exchange for dead letters, before the queue; "": the default exchange
)
DEAD_LETTER_ROUTING_KEY = "_dead_letter_routing_key"  # their routing key in that exchange; absent: each message's own
DEAD_LETTER_EXPIRED = "_dead_letter_expired"  # True: an expired message is dead-lettered, too
MAX_LENGTH = "_max_length"  # the most free messages of the queue
MAX_LENGTH_BYTES = "_max_length_bytes"  # the most bytes of their records in total
OVERFLOW = "_overflow"  # the effect of exceeding these: one of the next two; absent: the first
DROP_HEAD = "drop-head"  # the first free messages make room
REJECT_PUBLISH = "reject-publish"  # the post is refused
FLAVOR = "_flavor"  # the flavor whose pools may serve the queue

#: The queue for records that cannot be decoded, when their queue names no dead-letter queue.
UNREADABLE_QUEUE = "kombu_pool.unreadable"

#: Shortest time for which a queue keeps the last idempotency key of a producer, in seconds.
IDEMPOTENCY_WINDOW = 600.0


def is_found(get: Callable[..., object], *arguments: object) -> bool:
    """Return whether ``get`` finds an object by these arguments."""
    try:
        get(*arguments)
    except DoesNotExist:
        return False
    return True


def page(items: Sequence[T], marker: Callable[[T], str]) -> Iterator[Any]:
    """Return the result of a ``list``: the page, then the marker of its last item, "" for an empty page."""
    return iter((items, marker(items[-1]) if items else ""))
