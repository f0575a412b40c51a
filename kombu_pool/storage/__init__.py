"""The storage contract: what every message store and every control store promises.

A *data driver* keeps messages, claims and subscriptions of the queues that live in its store; a *control driver* knows
which queues there are, which pool each is assigned to, and how exchanges lead to them. The docstrings here are the
specification, and the conformance suite holds every driver, and pooling itself, to them.

A message is *delayed* until its delay is over, then *free*, *claimed* while a claim on it lives, and *expired* when its
ttl is over. Every read checks expiry by itself, so that an expired message or an ended claim is never seen, whether or
not anybody has collected it yet.

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
    DataDriver,
    MessageController,
    SubscriptionController,
    Watch,
)
from kombu_pool.storage.protocol import (
    DEAD_LETTER_QUEUE,
    DEAD_LETTER_TTL,
    DEFAULT_LIMIT,
    DEFAULT_MESSAGE_DELAY,
    DEFAULT_MESSAGE_TTL,
    FLAVOR,
    MAX_CLAIM_COUNT,
    UNREADABLE_QUEUE,
    page,
)
from kombu_pool.storage.queues import QueueController

__all__ = [
    "DEAD_LETTER_QUEUE",
    "DEAD_LETTER_TTL",
    "DEFAULT_LIMIT",
    "DEFAULT_MESSAGE_DELAY",
    "DEFAULT_MESSAGE_TTL",
    "FLAVOR",
    "MAX_CLAIM_COUNT",
    "UNREADABLE_QUEUE",
    "BindingsController",
    "CatalogueController",
    "ClaimController",
    "ConsumersController",
    "ControlDriver",
    "DataDriver",
    "FlavorsController",
    "MessageController",
    "PoolsController",
    "QueueController",
    "SubscriptionController",
    "Watch",
    "page",
]
