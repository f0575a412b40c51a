"""The routing controllers: each call goes to the pool of its queue."""

from __future__ import annotations

from kombu_pool.pooling.controllers.claims import ClaimController
from kombu_pool.pooling.controllers.messages import MessageController
from kombu_pool.pooling.controllers.queues import QueueController
from kombu_pool.pooling.controllers.subscriptions import SubscriptionController

__all__ = ["ClaimController", "MessageController", "QueueController", "SubscriptionController"]
