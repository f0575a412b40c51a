"""What both planes share: the list protocol, and the queue metadata that a store heeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

DEFAULT_LIMIT = 10

#: Queue metadata that a store heeds. Any other key is kept and given back.
DEFAULT_MESSAGE_TTL = "_default_message_ttl"  # seconds: the longest ttl that a message of the queue gets
DEFAULT_MESSAGE_DELAY = "_default_message_delay"  # seconds: the delay of a message that names none
MAX_CLAIM_COUNT = "_max_claim_count"  # how often a message is lent before it is dead-lettered
DEAD_LETTER_QUEUE = "_dead_letter_queue"  # the queue, of the same project, that takes it then
DEAD_LETTER_TTL = "_dead_letter_queue_messages_ttl"  # seconds: the ttl that it gets there
DEAD_LETTER_EXCHANGE = "_dead_letter_exchange"  # the exchange that takes it instead of a queue; "" is the default one
DEAD_LETTER_ROUTING_KEY = "_dead_letter_routing_key"  # the key that it is published with there; absent: its own
DEAD_LETTER_EXPIRED = "_dead_letter_expired"  # True: a message whose ttl is over is dead-lettered too
MAX_LENGTH = "_max_length"  # how many free messages the queue holds
MAX_LENGTH_BYTES = "_max_length_bytes"  # how many bytes their records may have together
OVERFLOW = "_overflow"  # what happens to more: one of the two that follow; absent: the first
DROP_HEAD = "drop-head"  # the first messages in line make room
REJECT_PUBLISH = "reject-publish"  # nothing more is stored
FLAVOR = "_flavor"  # the flavor whose pools the queue may live in

#: Where a record that cannot be decoded is set aside when its queue names no dead-letter queue.
UNREADABLE_QUEUE = "kombu_pool.unreadable"

#: Seconds for which a queue remembers the last ticket of a poster at least.
IDEMPOTENCY_WINDOW = 600.0


def page(items: Sequence[T], marker: Callable[[T], str]) -> Iterator[Any]:
    """Answer a ``list``: the page, then the marker of its last item, or "" when there is none."""
    return iter((items, marker(items[-1]) if items else ""))
