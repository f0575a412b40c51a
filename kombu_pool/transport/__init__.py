"""The Kombu transport: AMQP's queues, exchanges and channels on top of pooling."""

from __future__ import annotations

from kombu_pool.transport.channel import Channel
from kombu_pool.transport.transport import Transport

__all__ = ["Channel", "Transport"]
