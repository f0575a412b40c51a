"""The storage contract: the promises of every message store and every control store.

A *data driver* keeps the messages, claims and subscriptions of the queues in its store. A *control driver* keeps the
list of queues, the pool of each queue, and the exchanges that lead to them. These docstrings are the specification; the
conformance suite checks every driver, and pooling itself, against them.

A message is *delayed* until its delay is over, then *free*, *claimed* while a claim on it lives, and *expired* when its
ttl is over. Every read checks expiry itself: it never shows an expired message or an ended claim, collected or not.

A message is *dead* when its queue names a target for dead letters (``_dead_letter_queue``, or
``_dead_letter_exchange`` with ``_dead_letter_routing_key``) and the message

- has been claimed ``_max_claim_count`` times and is about to be claimed once more (reason ``max_claim_count``);
- was rejected (``rejected``);
- was displaced from a queue of ``_max_length`` messages or ``_max_length_bytes`` bytes (``maxlen``);
- expired, if ``_dead_letter_expired`` is set (``expired``).

No read shows a dead message and no count includes it. It is *dead-lettered*: stored in its dead-letter queue, whole and
unclaimed, with its origin and the reason in ``dead_letter``, and only then removed from its own queue. There its
``claim_count`` starts at 0, and it expires when it would have expired before, or never if it has expired already;
``_dead_letter_queue_messages_ttl`` overrides both. A dead-letter queue of the same store receives it in one step, where
a step can span two queues; any other target receives it through the hooks of :class:`DataDriver`. If the target exists
nowhere, or the queue names none any more, a message at its delivery limit is still claimed, and any other is deleted.
If the target is unreachable, dead-lettering is retried, and a message at its delivery limit is still claimed meanwhile.
:meth:`DataDriver.redrive` moves dead letters back.

Rules for every method:

- ``project`` None is a namespace of its own, distinct from every string.
- Names may hold any character. Ids are opaque strings; a malformed id is treated like an unknown one.
- Messages are ordered by priority, higher first, then by arrival in the store. A message released from a claim returns
  to its old place.
- ``list`` returns an iterator of two items: first the page (an iterable), then the marker for the next page, which is
  falsy for an empty page. A marker outlives the row that it names. ``limit`` 0 means all.
- A call that raises has had no effect, with one exception: after a :class:`~kombu_pool.errors.ConnectionError` it may
  have taken effect.
"""

from __future__ import annotations

from kombu_pool.storage.catalogue import CatalogueController
from kombu_pool.storage.control import (
    CONTROL_POOL,
    VIRTUAL,
    BindingsController,
    ConsumersController,
    ControlDriver,
    DueMaintenance,
    QueueLookup,
)
from kombu_pool.storage.data import ClaimController, MessageController
from kombu_pool.storage.dead_letters import DeadLetterHooks
from kombu_pool.storage.driver import DataDriver
from kombu_pool.storage.moving import MoveController
from kombu_pool.storage.pools import FlavorsController, PoolsController
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
from kombu_pool.storage.subscriptions import SubscriptionController
from kombu_pool.storage.watch import PollingWatch, Watch

__all__ = [
    "CONTROL_POOL",
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
    "VIRTUAL",
    "BindingsController",
    "CatalogueController",
    "ClaimController",
    "ConsumersController",
    "ControlDriver",
    "DataDriver",
    "DeadLetterHooks",
    "DueMaintenance",
    "FlavorsController",
    "MessageController",
    "MoveController",
    "PollingWatch",
    "PoolsController",
    "QueueController",
    "QueueLookup",
    "SubscriptionController",
    "Watch",
    "page",
]
