"""One connection of Kombu's: its channels, its exclusive queues, and how it ends."""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING

from amqp.exceptions import RecoverableConnectionError

from kombu_pool import errors
from kombu_pool.transport import broker as brokers
from kombu_pool.transport import processes
from kombu_pool.transport.consume.delayed_tasks import DelayedTasks
from kombu_pool.transport.consume.dispatcher import Dispatcher
from kombu_pool.transport.declare.declared_queues import DeclaredQueues
from kombu_pool.transport.upkeep.control_epoch import DATA_LOST, ControlEpoch

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu import Connection

    from kombu_pool.transport.consume.consuming import ConsumingMethods
    from kombu_pool.transport.consume.deliveries import Message
    from kombu_pool.transport.options import TransportOptions

logger = logging.getLogger(__name__)


_open: weakref.WeakSet[PoolConnection] = weakref.WeakSet()


def _after_fork() -> None:
    """Mark every connection as closed: a child process has none of the threads that serve it, and owns no claim."""
    for connection in list(_open):
        connection.closed = True
        for channel in connection.channels:
            channel.after_fork()


def _close_all() -> None:
    """Close the connections that the program left open: acknowledgements are sent, the rest is released."""
    for connection in list(_open):
        connection.close()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_after_fork)


class PoolConnection:
    """What Kombu calls the connection of a transport."""

    def __init__(self, client: Connection, options: TransportOptions) -> None:
        self.client = client
        self.id = processes.new_owner_id()
        self.options = options
        self.broker = broker = brokers.acquire(options)
        self.channels: list[ConsumingMethods] = []
        self.channel_ids = itertools.count(1)
        #: Also true in a child process, of a connection that it inherited.
        self.closed = False
        #: The names of the exclusive queues that it declared.
        self.exclusive: set[str] = set()
        self.dispatcher = Dispatcher(
            broker.data,
            broker.control,
            broker.renewal,
            broker.settlement,
            options.project,
            options.queue_order_strategy,
            broker.maintenance.start,
        )
        self._delayed_tasks = DelayedTasks(broker.data.message_controller, options.project)
        self.epoch = ControlEpoch(broker.control, self._fail_after_loss)
        self.declared = DeclaredQueues(broker.router, broker.queues.exists)
        self._lock = threading.Lock()
        self._unsettled_channels = 0
        _open.add(self)
        broker.epochs.add(self.epoch)
        broker.dispatchers.add(self.dispatcher)

    def _fail_after_loss(self) -> None:
        """Fail, so that Kombu opens another connection and declares everything again."""
        if not self.closed:
            logger.warning(DATA_LOST)
            self.dispatcher.inbox.fail(errors.StoreLost(DATA_LOST))

    def require_open(self) -> None:
        """Raise RecoverableConnectionError if the connection is closed, or belongs to a parent process."""
        if self.closed:
            raise RecoverableConnectionError("The connection is closed: open another one")

    def delayed_tasks(self) -> list[Message]:
        """Return delayed tasks of the queues that the connection consumes, of the pools that answer at once."""
        return self._delayed_tasks.read(self.dispatcher.answering_queues())

    def close(self) -> None:
        """Close every channel and release what is unacknowledged. Bounded in time, even if the store is gone."""
        if self.closed:
            return
        for channel in list(self.channels):
            self._try(channel.close)
        self._stop()
        self._try(self._delete_exclusive)
        self._try(self.broker.settlement.flush)
        brokers.release(self.broker)

    def _delete_exclusive(self) -> None:
        if self.exclusive:
            self.broker.queues.retire_owner(self.id)
        while self.exclusive:
            self.broker.queues.delete(self.exclusive.pop())

    @staticmethod
    def _try(step: Callable[[], None]) -> None:
        """Take one step of closing; a store that is gone does not prevent the next one."""
        try:
            step()
        except errors.StoreLost as error:
            logger.debug("The connection closes, and its store is gone: %s", error)
        except errors.KombuPoolError as error:
            logger.warning("The connection closes without its store; its claims end with their ttl: %s", error)

    def abandon(self) -> None:
        """Give the connection up without a request to a store, which may not answer.

        What was not delivered is released. A delivered message stays claimed while a consumer refers to it, which may
        acknowledge it even now; it is released when it is garbage collected.
        """
        if self.closed:
            return
        self._stop()
        self.broker.renewal.stop_renewing(self.id)
        self.dispatcher.inbox.release_all()
        unsettled = [channel for channel in self.channels if channel.abandon(self._channel_settled)]
        self.channels.clear()
        self._unsettled_channels = len(unsettled)
        self.broker.settlement.wake()
        if not unsettled:
            brokers.release(self.broker)

    def _channel_settled(self) -> None:
        """Release the broker after the last abandoned channel settled its last delivery."""
        with self._lock:
            self._unsettled_channels -= 1
            if self._unsettled_channels:
                return
        # Releasing may wait for the very thread that settled the last delivery.
        threading.Thread(target=brokers.release, args=(self.broker,), daemon=True).start()

    def _stop(self) -> None:
        self.closed = True
        processes.retire(self.id)
        self.dispatcher.stop()
