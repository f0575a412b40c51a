"""The stores behind one broker URL, which all connections of a process share."""

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
from kombu_pool.transport.upkeep.maintenance import Maintenance

if TYPE_CHECKING:
    from kombu_pool.transport.options import TransportOptions
    from kombu_pool.transport.upkeep.control_epoch import ControlEpoch


class Broker:
    """The pooling driver of one control store, and the threads that serve this process's claims on it.

    Each thread starts with its first work: a producer has none.
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
        #: Those of the open connections.
        self.epochs: weakref.WeakSet[ControlEpoch] = weakref.WeakSet()
        self.maintenance = Maintenance(self.data, self.control, self.queues, self.check_epoch)

    def check_epoch(self) -> None:
        """End every connection that was opened before the control store lost its data."""
        epoch = self.control.epoch()
        for known in list(self.epochs):
            known.compare(epoch)

    def close(self) -> None:
        """Send the queued acknowledgements, stop the threads, close the stores."""
        self.maintenance.close()
        self.settlement.close()
        self.renewal.close()
        self.data.close()
        self.control.close()


class _SharedBrokers:
    """The brokers of this process, each with one entry a user."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._brokers: dict[tuple[object, ...], list[Broker]] = {}

    def acquire(self, options: TransportOptions) -> Broker:
        with self._lock:
            if self._pid != os.getpid():
                # They are the parent process's: its threads are not here, and its claims must not be released.
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


_shared = _SharedBrokers()
acquire = _shared.acquire
release = _shared.release

if hasattr(os, "register_at_fork"):
    # A thread of the parent may hold the lock at the fork; in the child no thread would release it.
    os.register_at_fork(after_in_child=_shared.renew_lock)
