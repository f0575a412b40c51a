"""The Kombu transport: AMQP's queues, exchanges and channels on top of pooling."""

from __future__ import annotations

import _kombu_pool_entry
from kombu_pool.drivers import schemes
from kombu_pool.transport.channel import Channel
from kombu_pool.transport.publish import celery_groups
from kombu_pool.transport.publish.buffer import gather
from kombu_pool.transport.transport import Transport

# Kombu looks up the whole scheme of a failover URL, also of a third party's driver.
_kombu_pool_entry.register(*(f"pool+{scheme}" for scheme in schemes()))

# After an import of Celery, groups buffer from here on, not only from the first connection on.
celery_groups.install()

__all__ = ["Channel", "Transport", "gather"]
