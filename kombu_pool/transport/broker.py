"""The stores behind one broker URL, as all connections of this process share them."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

from kombu_pool.drivers import open_control
from kombu_pool.pooling import DataDriver, declare_pools
from kombu_pool.transport.consume.leases import Renewal
from kombu_pool.transport.consume.settlement import Settlement
from kombu_pool.transport.declare.exchanges import Router
from kombu_pool.transport.declare.queues import Queues
from kombu_pool.transport.upkeep.dead_letters import DeadLetterPublisher
from kombu_pool.transport.upkeep.maintenance import Housekeeping

if TYPE_CHECKING:
    from kombu_pool.transport.connection import PoolConnection
    from kombu_pool.transport.options import TransportOptions


class Broker:
    """The pooling driver of one control store, and what keeps this process's claims on it.

    Threads start when there is something for them to do: a producer has none.
    """

    def __init__(self, options: TransportOptions) -> None:
        self.options = options
        self.control = open_control(options.uri, conf=options.conf)
        self.dead_letters = DeadLetterPublisher(lambda: self.data, self.control)
        try:
            declare_pools(self.control, options.pools, options.flavors, options.project)
            self.data = DataDriver(options.conf, None, self.control, dead_letter_hooks=self.dead_letters.hooks)
        except BaseException:
            self.control.close()
            raise
        self.router = Router(self.control.bindings_controller, options.project)
        self.renewal = Renewal(
            self.data.claim_controller,
            self.control.consumers_controller,
            {"ttl": options.claim_ttl, "grace": options.claim_grace},
            self.data.catalog.pool_of,
        )
        self.settlement = Settlement(
            self.data.message_controller,
            self.data.claim_controller,
            self.renewal,
            options.ack_delay,
            self.data.catalog.pool_of,
        )
        self.queues = Queues(self.data, self.control, self.router, self.renewal, options)
        self.connections: weakref.WeakSet[PoolConnection] = weakref.WeakSet()
        self.housekeeping = Housekeeping(self.data, self.control, self.queues, self.look_back)

    def look_back(self) -> None:
        """Tell every connection that was opened before the control store lost what it held."""
        epoch = self.control.epoch()
        for connection in list(self.connections):
            connection.recall(epoch)

    def close(self) -> None:
        """Send what is gathered, stop the threads, close the stores."""
        self.housekeeping.close()
        self.settlement.close()
        self.renewal.close()
        self.data.close()
        self.control.close()


class _Shared:
    """The brokers of this process, each with the number of its users."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._brokers: dict[tuple[object, ...], list[Broker]] = {}

    def acquire(self, options: TransportOptions) -> Broker:
        with self._lock:
            if self._pid != os.getpid():
                # They are the parent's: its threads are not here, and what it claimed is not ours to give back.
                self._inherited, self._brokers, self._pid = self._brokers, {}, os.getpid()
            key = options.identity
            users = self._brokers.get(key)
            if users is None:
                users = self._brokers[key] = []
                try:
                    users.append(Broker(options))
                except BaseException:
                    del self._brokers[key]
                    raise
            else:
                users.append(users[0])
            return users[0]

    def release(self, broker: Broker) -> None:
        with self._lock:
            users = self._brokers.get(broker.options.identity)
            if users is None or users[0] is not broker:
                return
            users.pop()
            if users:
                return
            del self._brokers[broker.options.identity]
        broker.close()

    def renew_lock(self) -> None:
        self._lock = threading.Lock()


_shared = _Shared()
acquire = _shared.acquire
release = _shared.release

if hasattr(os, "register_at_fork"):
    # Another thread of the parent may hold the lock at the fork; nobody in the child would ever let go of it.
    os.register_at_fork(after_in_child=_shared.renew_lock)
