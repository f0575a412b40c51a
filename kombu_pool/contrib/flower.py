"""Shows the queues of a pool:// broker in Flower, once ``flowerconfig.py`` has imported this module.

Flower chooses what asks a broker for its queues by the scheme of the broker URL, and knows those of RabbitMQ and Redis.
The import adds the schemes of kombu_pool.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from flower.utils.broker import Broker, BrokerBase

from kombu_pool.operator.broker import BrokerUrl, open_broker
from kombu_pool.operator.queues import list_queues
from kombu_pool.transport.options import is_ours
from kombu_pool.transport.redaction import unredact

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from kombu_pool.operator.broker import Broker as OpenedBroker
    from kombu_pool.operator.queues import QueueRow


class PoolBroker(BrokerBase):  # type: ignore[misc] # Flower has no types
    """The queues of a broker, which stays open for later requests."""

    _lock = threading.Lock()
    _opened: OpenedBroker | None = None
    _opened_for: tuple[str, str] | None = None
    _stack = ExitStack()

    def __init__(self, broker_url: str, *_: Any, broker_options: Mapping[str, Any] | None = None, **__: Any) -> None:
        """Name the broker; the first question opens it."""
        self._url = str(unredact(broker_url))
        self._options = dict(broker_options or {})

    async def queues(self, names: Collection[str]) -> list[dict[str, Any]]:
        """Return the queues of these names that exist, as RabbitMQ's API names their numbers.

        ``messages`` counts delayed ones, too. A number is None if the queue's pool does not answer.

        Raises:
            KombuPoolError: the control store does not answer.
        """
        return await asyncio.get_running_loop().run_in_executor(None, self._queues, names)

    def _queues(self, names: Collection[str]) -> list[dict[str, Any]]:
        broker = self._open()
        return [_as_rabbitmq(row) for row in list_queues(broker.store, broker.project, names=names).queues]

    def _open(self) -> OpenedBroker:
        key = self._url, repr(unredact(self._options))
        with PoolBroker._lock:
            if PoolBroker._opened is None or PoolBroker._opened_for != key:
                # First: if the other one cannot be opened, the next question must not get a closed one.
                PoolBroker._opened = None
                PoolBroker._stack.close()
                opened = PoolBroker._stack.enter_context(open_broker(BrokerUrl(self._url, self._options)))
                PoolBroker._opened, PoolBroker._opened_for = opened, key
            return PoolBroker._opened


def _as_rabbitmq(row: QueueRow) -> dict[str, Any]:
    return {
        "name": row.queue,
        "messages": row.total,
        "messages_ready": row.ready,
        "messages_unacknowledged": row.claimed,
        "messages_delayed": row.delayed,
        "consumers": row.consumers,
    }


def _register() -> None:
    create = Broker.__new__

    def create_by_scheme(cls: Any, broker_url: str, *arguments: Any, **options: Any) -> Any:
        if is_ours(unredact(broker_url)):
            return PoolBroker(broker_url, *arguments, **options)
        return create(cls, broker_url, *arguments, **options)

    if not getattr(create, "is_of_kombu_pool", False):
        create_by_scheme.is_of_kombu_pool = True  # type: ignore[attr-defined]
        Broker.__new__ = create_by_scheme


_register()
