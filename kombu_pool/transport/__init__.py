"""The Kombu transport: AMQP's queues, exchanges and channels on top of pooling."""

from __future__ import annotations

import _kombu_pool_entry
from kombu_pool.drivers import schemes
from kombu_pool.transport.channel import Channel
from kombu_pool.transport.publish import celery_groups
from kombu_pool.transport.publish.buffer import gather
from kombu_pool.transport.transport import Transport

# Kombu looks up the whole scheme of a URL that it fails over to, a stranger's too.
_kombu_pool_entry.register(*(f"pool+{scheme}" for scheme in schemes()))

# Whoever imports this after Celery need not wait for the first connection.
celery_groups.install()

__all__ = ["Channel", "Transport", "gather"]
