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
FLAVOR = "_flavor"  # the flavor whose pools the queue may live in

#: Where a record that cannot be decoded is set aside when its queue names no dead-letter queue.
UNREADABLE_QUEUE = "kombu_pool.unreadable"


def page(items: Sequence[T], marker: Callable[[T], str]) -> Iterator[Any]:
    """Answer a ``list``: the page, then the marker of its last item, or "" when there is none."""
    return iter((items, marker(items[-1]) if items else ""))
