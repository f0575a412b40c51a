"""Messages with an expiration of 0, or in a queue with ``x-message-ttl`` 0: for consumers that wait when they come.

No store knows which consumers wait. So such a message stays in its queue for :data:`ZERO_TTL`, and the consumer that
claims it compares its age with the time for which it has had a free slot: an older message is expired.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.model import Age

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.model import Message, NewMessage

#: Bound of the time that a waiting consumer may take to claim such a message, in seconds; it is the ttl in the store.
ZERO_TTL = 1.0
#: Ttl of such a message in a queue without a consumer, in seconds: the shortest that a clock shows; 0 never expires.
SHORTEST_TTL = 1e-6

TTL_ARGUMENT = "x-message-ttl"


def is_zero_ttl_queue(arguments: Mapping[str, Any] | None) -> bool:
    """Return whether the arguments of a queue give its messages a ttl of 0."""
    ttl = (arguments or {}).get(TTL_ARGUMENT)
    return ttl is not None and not ttl


def has_zero_ttl(body: Any) -> bool:
    """Return whether a message has an expiration of 0."""
    try:
        expiration = body["properties"].get("expiration")
        return expiration is not None and int(expiration) == 0
    except (KeyError, TypeError, ValueError, AttributeError):
        return False


def is_among(messages: Sequence[NewMessage]) -> bool:
    """Return whether one of the messages has an expiration of 0."""
    # Their ttl is looked at first, which most messages do not have.
    for one in messages:  # noqa: SIM110 - each publish calls this, and any() takes four times as long for one message
        if one["ttl"] == ZERO_TTL and has_zero_ttl(one["body"]):
            return True
    return False


def without_consumer(messages: Sequence[NewMessage]) -> list[NewMessage]:
    """Return messages for a queue that no consumer waits at: those with an expiration of 0 expire at once."""
    return [{**one, "ttl": SHORTEST_TTL} if has_zero_ttl(one["body"]) else one for one in messages]


def is_expired(message: Message, *, in_zero_ttl_queue: bool) -> bool:
    """Return whether a message that no consumer waited for is expired."""
    # An older message was delayed, or in another queue before.
    if message["claim_count"] > 1 or not isinstance(message["age"], Age):
        return False
    body = message["body"]
    return (in_zero_ttl_queue or has_zero_ttl(body)) and not _is_delayed(body)


def _is_delayed(body: Any) -> bool:
    try:
        return bool(body["headers"].get("eta"))
    except (KeyError, TypeError, AttributeError):
        return False
