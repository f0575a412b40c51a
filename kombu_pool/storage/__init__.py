"""The storage contract: what every message store and every control store promises.

A *data driver* keeps messages, claims and subscriptions of the queues that live in its store; a *control driver* knows
which queues there are, which pool each is assigned to, and how exchanges lead to them. The docstrings here are the
specification, and the conformance suite holds every driver, and pooling itself, to them.

A message is *delayed* until its delay is over, then *free*, *claimed* while a claim on it lives, and *expired* when its
ttl is over. Every read checks expiry by itself, so that an expired message or an ended claim is never seen, whether or
not anybody has collected it yet.

A message is *dead* when its queue has somewhere for its dead letters to go (``_dead_letter_queue``, or
``_dead_letter_exchange`` with ``_dead_letter_routing_key``) and it

- was lent as often as ``_max_claim_count`` allows, when it would be lent once more (reason ``max_claim_count``);
- was rejected (``rejected``);
- had to make room in a queue of ``_max_length`` messages or ``_max_length_bytes`` bytes (``maxlen``);
- expired, if ``_dead_letter_expired`` says that this counts (``expired``).

From then on no read shows it and nothing counts it, until it is *buried*: stored in its dead-letter queue, whole and
unclaimed, with ``dead_letter`` saying where from and why, and only then removed from its own. It begins anew there with
a ``claim_count`` of 0, and expires when it would have, or, if it has expired, never; unless
``_dead_letter_queue_messages_ttl`` says otherwise. A dead-letter queue of the same store takes it in one step, where a
step may span two queues, any other one through the hooks of :class:`DataDriver`. If there is no such queue anywhere, a
message that was lent too often is lent all the same, and any other is gone. If the queue is out of reach, burying is
tried again, and what was lent too often is lent meanwhile. The way back is :meth:`DataDriver.redrive`.

What holds everywhere:

- ``project`` None is a namespace of its own, apart from every string.
- Names may hold any character. Ids are opaque strings; an id that cannot be one is treated like an unknown one.
- Messages are ordered by priority, higher first, then by the order in which the store took them. A message that comes
  back from a claim stands where it stood.
- ``list`` returns an iterator of two items: first the page (an iterable), then the marker to pass for the next page,
  falsy when the page was empty. A marker outlives the row that it names. ``limit`` 0 means all.
- A call that raises has had no effect, unless it raises :class:`~kombu_pool.errors.ConnectionError`: then it may have.
"""

from __future__ import annotations

from kombu_pool.storage.control import (
    BindingsController,
    CatalogueController,
    ConsumersController,
    ControlDriver,
    FlavorsController,
    PoolsController,
)
from kombu_pool.storage.data import (
    ClaimController,
    MessageController,
    SubscriptionController,
)
from kombu_pool.storage.dead_letters import DeadLetterHooks
from kombu_pool.storage.driver import DataDriver, Watch
from kombu_pool.storage.queue_metadata import (
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_EXPIRED,
    DEAD_LETTER_QUEUE,
    DEAD_LETTER_ROUTING_KEY,
    DEAD_LETTER_TTL,
    DEFAULT_LIMIT,
    DEFAULT_MESSAGE_DELAY,
    DEFAULT_MESSAGE_TTL,
    DROP_HEAD,
    FLAVOR,
    IDEMPOTENCY_WINDOW,
    MAX_CLAIM_COUNT,
    MAX_LENGTH,
    MAX_LENGTH_BYTES,
    OVERFLOW,
    REJECT_PUBLISH,
    UNREADABLE_QUEUE,
    page,
)
from kombu_pool.storage.queues import QueueController

__all__ = [
    "DEAD_LETTER_EXCHANGE",
    "DEAD_LETTER_EXPIRED",
    "DEAD_LETTER_QUEUE",
    "DEAD_LETTER_ROUTING_KEY",
    "DEAD_LETTER_TTL",
    "DEFAULT_LIMIT",
    "DEFAULT_MESSAGE_DELAY",
    "DEFAULT_MESSAGE_TTL",
    "DROP_HEAD",
    "FLAVOR",
    "IDEMPOTENCY_WINDOW",
    "MAX_CLAIM_COUNT",
    "MAX_LENGTH",
    "MAX_LENGTH_BYTES",
    "OVERFLOW",
    "REJECT_PUBLISH",
    "UNREADABLE_QUEUE",
    "BindingsController",
    "CatalogueController",
    "ClaimController",
    "ConsumersController",
    "ControlDriver",
    "DataDriver",
    "DeadLetterHooks",
    "FlavorsController",
    "MessageController",
    "PoolsController",
    "QueueController",
    "SubscriptionController",
    "Watch",
    "page",
]
