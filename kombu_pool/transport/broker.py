"""The stores behind one broker URL, which all connections of a process share."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

from kombu_pool.drivers import open_control
from kombu_pool.drivers.shared_connections import SharedConnections
from kombu_pool.pooling import DataDriver, declare_pools, require_pools_of
from kombu_pool.transport import processes
from kombu_pool.transport.consume.renewal import Renewal
from kombu_pool.transport.consume.settlement import Settlement
from kombu_pool.transport.declare.exchanges import Router
from kombu_pool.transport.declare.queues import Queues
from kombu_pool.transport.upkeep.dead_letters import DeadLetterPublisher
from kombu_pool.transport.upkeep.default_dead_letter_queue import DefaultDeadLetterQueue
from kombu_pool.transport.upkeep.maintenance import Maintenance

if TYPE_CHECKING:
    from kombu_pool.model import ClaimMetadata, Project
    from kombu_pool.transport.consume.dispatcher import Dispatcher
    from kombu_pool.transport.options import TransportOptions
    from kombu_pool.transport.upkeep.control_epoch import ControlEpoch


class Broker:
    """The pooling driver of one control store, and the threads that serve this process's claims on it.

    Each thread starts with its first work: a producer has none but that of the counters, while it publishes.
    """

    def __init__(self, options: TransportOptions) -> None:
        self.options = options
        self.control = open_control(options.uri, conf=options.conf)
        default_queue = DefaultDeadLetterQueue(
            lambda: self.data, options.dead_letter_max_length, options.dead_letter_ttl
        )
        self.dead_letters = DeadLetterPublisher(lambda: self.data, self.control, default_queue)
        try:
            declare_pools(self.control, options.pools, options.flavors, options.project)
            require_pools_of(self.control, options.queue_flavors, options.project)
            self.data = DataDriver(options.conf, None, self.control, dead_letter_hooks=self.dead_letters.hooks)
        except BaseException:
            self.control.close()
            raise
        self.router = Router(self.control.bindings_controller, options.project)
        metadata: ClaimMetadata = {
            "ttl": options.claim_ttl,
            "grace": options.claim_grace,
            "holder": processes.process(),
        }
        self.renewal = Renewal(self.data, self.control.consumers_controller, metadata)
        self.settlement = Settlement(self.data, self.renewal, options.ack_delay)
        self.queues = Queues(self.data, self.control, self.router, self.renewal, options)
        #: Those of the open connections.
        self.epochs: weakref.WeakSet[ControlEpoch] = weakref.WeakSet()
        #: What consumes on the open connections.
        self.dispatchers: weakref.WeakSet[Dispatcher] = weakref.WeakSet()
        self.maintenance = Maintenance(self.data, self.control, self.check_epoch, self.consumed_queues)

    def check_epoch(self, epoch: str) -> None:
        """End every connection that was opened in another epoch, before the control store lost its data."""
        for known in list(self.epochs):
            known.compare(epoch)

    def consumed_queues(self) -> set[tuple[Project, str]]:
        """Return (project, queue) of the queues that the connections consume."""
        return {scope for dispatcher in list(self.dispatchers) for scope in dispatcher.consumed_queues()}

    def close(self) -> None:
        """Send the queued acknowledgements, stop the threads, close the stores."""
        self.maintenance.close()
        self.settlement.close()
        self.renewal.close()
        self.data.close()
        self.control.close()


#: The brokers of this process, by their options; those of the parent process stay among them, untouched.
_shared = SharedConnections(Broker, lambda broker: broker.options)
acquire = _shared.acquire


def release(broker: Broker) -> None:
    """Close the broker unless another connection uses it, or it is the parent process's with the claims of that one."""
    if broker.options.pid == os.getpid():
        _shared.release(broker)
