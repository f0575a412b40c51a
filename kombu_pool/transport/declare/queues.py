"""Queues as AMQP has them: declared with arguments, exclusive, auto-delete, expiring."""

from __future__ import annotations

import contextlib
import logging
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from kombu_pool.errors import ExchangeDoesNotExist, PoolUnavailable, QueueDoesNotExist
from kombu_pool.model import Expiry
from kombu_pool.storage import FLAVOR
from kombu_pool.transport import amqp_errors, processes
from kombu_pool.transport.declare import queue_arguments
from kombu_pool.transport.declare.mismatch import Mismatches
from kombu_pool.transport.declare.queue_arguments import DECLARED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kombu_pool.model import Metadata, Project
    from kombu_pool.pooling import DataDriver
    from kombu_pool.storage import ControlDriver
    from kombu_pool.transport.declare.exchanges import Router
    from kombu_pool.transport.options import TransportOptions

logger = logging.getLogger(__name__)


class Declared(NamedTuple):
    """The answer to ``queue.declare``."""

    queue: str
    message_count: int
    consumer_count: int


class HolderRenewal(Protocol):
    """Keeps holders of this process alive."""

    def keep_alive(self, holder: str, on_gone: Callable[[], None] | None = None) -> None:
        """Renew a holder from now on; call ``on_gone`` once if it holds no queue any more."""

    def stop_renewing(self, holder: str) -> None:
        """Renew a holder no more."""


class Queues:
    """The queues of one project."""

    def __init__(
        self,
        data: DataDriver,
        control: ControlDriver,
        router: Router,
        renewal: HolderRenewal,
        options: TransportOptions,
    ) -> None:
        self.project = options.project
        self._data = data
        self._bindings = control.bindings_controller
        self._consumers = control.consumers_controller
        self._router = router
        self._renewal = renewal
        self._ttl = options.claim_ttl
        self._flavors = options.queue_flavors
        self._mismatches = Mismatches(options.on_queue_mismatch)
        self._warned: set[str] = set()
        # The life of the auto-delete queue that each consumer was added to.
        self._auto_delete: dict[str, str | None] = {}
        data.catalog.lives.on_unbound = self.delete_unbound

    def declare(
        self, name: str, owner: str, *, durable: bool, exclusive: bool, auto_delete: bool, arguments: Mapping[str, Any]
    ) -> None:
        """Create the queue unless it exists; ``owner`` is the id of the connection that declares it.

        Raises:
            PreconditionFailed: it exists with other properties or arguments.
            ResourceLocked: it is exclusive to another connection.
        """
        declared = {
            "durable": bool(durable),
            "exclusive": owner if exclusive else None,
            "auto_delete": bool(auto_delete),
            "arguments": {key: arguments[key] for key in sorted(arguments)},
        }
        metadata = self._metadata(name, declared)
        lifetime = queue_arguments.lifetime_of(name, arguments)
        expiry = self._expiry(owner, declared, lifetime)
        while True:
            there = self._data.catalog.look_up(name, self.project)
            if there is None:
                if self._create(name, metadata, expiry):
                    break
            elif self._check(name, owner, declared, there) and self._touch(name, lifetime):
                return
        if exclusive:
            self._renewal.keep_alive(owner)

    def _touch(self, name: str, lifetime: float | None) -> bool:
        """Restart the lifetime of a queue that has one; return False if it has ended meanwhile."""
        return lifetime is None or self._consumers.touch(name, self.project)

    def _create(self, name: str, metadata: Metadata, expiry: Expiry | None) -> bool:
        return self._data.queue_controller.create(name, metadata, self.project, expiry=expiry)

    def _expiry(self, owner: str, declared: Metadata, lifetime: float | None) -> Expiry | None:
        """Return when a queue with these properties expires."""
        if declared["exclusive"]:
            return Expiry(0.0, holder=owner, holder_ttl=self._ttl)
        if lifetime is not None:
            return Expiry(lifetime, from_now=True)
        return Expiry(0.0) if declared["auto_delete"] else None

    def _owner_is_dead(self, name: str, owner: str) -> bool:
        """Return whether the queue is exclusive to another connection, which is dead."""
        return _belongs_to_dead(self._declared(name) or {}, owner)

    def _delete_of_dead_owner(self, name: str, owner: str) -> None:
        """Delete the queue in the life that is exclusive to a dead connection; another process may declare it again."""
        route = self._data.catalog.fresh_route(name, self.project)
        # Asked after the incarnation was read: so it is this life that the answer is about, or a later one.
        if route.incarnation and self._owner_is_dead(name, owner):
            self._data.queue_controller.delete(name, self.project, incarnation=route.incarnation)

    def _metadata(self, name: str, declared: Metadata) -> Metadata:
        arguments = declared["arguments"]
        for argument in queue_arguments.unknown(arguments) - self._warned:
            self._warned.add(argument)
            logger.warning("The queue argument %r is unknown and has no effect", argument)
        metadata: Metadata = {DECLARED: declared, **queue_arguments.policy_of(name, arguments)}
        flavor = arguments.get(queue_arguments.FLAVOR_ARGUMENT) or self._flavor(name)
        if flavor:
            metadata[FLAVOR] = flavor
        return metadata

    def _flavor(self, name: str) -> str | None:
        if name in self._flavors:
            return self._flavors[name]
        return next((flavor for pattern, flavor in self._flavors.items() if fnmatchcase(name, pattern)), None)

    def _check(self, name: str, owner: str, declared: Metadata, metadata: Metadata) -> bool:
        """Compare the declaration with that of the existing queue; return False if that was of a dead connection."""
        there = metadata.get(DECLARED)
        if there is None:
            return True  # created by the library
        if _belongs_to_dead(there, owner):
            self._delete_of_dead_owner(name, owner)
            return False
        self._require_access(name, owner, there)
        self._mismatches.check(name, declared, there)
        return True

    def _declared(self, name: str) -> Metadata | None:
        """Return the properties and arguments of the declaration; None if the queue was created by the library."""
        try:
            declared: Metadata | None = self._data.queue_controller.get_metadata(name, self.project).get(DECLARED)
        except QueueDoesNotExist:
            return None
        return declared

    @staticmethod
    def _require_access(name: str, owner: str, declared: Metadata) -> None:
        if declared.get("exclusive") not in (None, owner):
            raise amqp_errors.resource_locked(name)

    def require(self, name: str, owner: str, method: str) -> Metadata:
        """Return the properties and arguments of the queue's declaration.

        Raises:
            NotFound: there is no such queue.
            ResourceLocked: it is exclusive to another connection.
        """
        try:
            return self.declaration(name, owner)
        except QueueDoesNotExist as error:
            raise amqp_errors.no_queue(name, method) from error

    def declaration(self, name: str, owner: str) -> Metadata:
        """Return what :meth:`require` does, but raise QueueDoesNotExist instead of NotFound."""
        declared: Metadata = self._data.queue_controller.get_metadata(name, self.project).get(DECLARED) or {}
        self._require_access(name, owner, declared)
        return declared

    def exists(self, name: str) -> bool:
        """Return whether the queue exists."""
        return self._data.queue_controller.exists(name, self.project)

    def bind(self, exchange: str, name: str, routing_key: str, arguments: Mapping[str, Any] | None) -> None:
        """Bind the queue, in its present life, to an exchange.

        Raises:
            ExchangeDoesNotExist, QueueDoesNotExist: there is none.
        """
        incarnation = self._data.catalog.route(name, self.project).incarnation
        while True:
            if incarnation:
                with contextlib.suppress(QueueDoesNotExist):
                    self._bindings.bind(
                        exchange, name, routing_key, arguments, "queue", self.project, incarnation=incarnation
                    )
                    return
            _, incarnation = self._data.catalog.lives.current(name, self.project, None)

    def counts(self, name: str) -> Declared:
        """Return the numbers of the queue's free messages and live consumers."""
        return Declared(
            name,
            self._data.message_controller.count(name, self.project),
            self._consumers.count(name, self.project),
        )

    def present_counts(self, name: str) -> Declared:
        """Return the counts, even if another process has just declared the queue again in another pool."""
        self._data.catalog.invalidate(name, self.project)
        return self.counts(name)

    def counts_if_up(self, name: str) -> Declared:
        """Return what :meth:`counts` does, but no messages if the queue's pool does not answer.

        So a worker declares its known queues, and consumes from those of the other pools.
        """
        if not self._data.catalog.is_known_to_be_down(name, self.project):
            with contextlib.suppress(PoolUnavailable):
                return self.counts(name)
        return Declared(name, 0, self._consumers.count(name, self.project))

    def has_consumer(self, name: str) -> bool:
        """Return whether the queue has a live consumer."""
        return self._consumers.count(name, self.project) > 0

    def total(self, name: str) -> int:
        """Return the number of messages in any state."""
        messages: int = self._data.queue_controller.stats(name, self.project)["messages"]["total"]
        return messages

    def purge(self, name: str) -> int:
        """Delete the messages that are not claimed, and return their number."""
        return self._data.message_controller.purge(name, self.project)

    def delete(self, name: str) -> None:
        """Delete the queue, its bindings, and the auto-delete exchanges that lose their last binding."""
        self._data.queue_controller.delete(name, self.project)

    def delete_unused(self, name: str) -> bool:
        """Delete the queue if it has no live consumer, in one step; return False if it has one."""
        incarnation = self._data.catalog.fresh_route(name, self.project).incarnation
        return not incarnation or self._data.queue_controller.expire(name, self.project, unused=incarnation)

    def delete_unbound(self, project: Project, exchanges: Sequence[str]) -> None:
        """Delete those of the exchanges that are auto-delete and have no binding left."""
        self._router.forget(*exchanges)
        for exchange in dict.fromkeys(exchanges):
            with contextlib.suppress(ExchangeDoesNotExist):
                if self._bindings.get_exchange(exchange, project)["auto_delete"]:
                    self._delete_if_unbound(exchange, project)

    def _delete_if_unbound(self, exchange: str, project: Project) -> None:
        if not self._bindings.list(exchange, project):
            self._bindings.delete_exchange(exchange, project)

    def add_consumer(
        self, name: str, holder: str, on_gone: Callable[[], None] | None = None, *, auto_delete: bool = False
    ) -> str:
        """Add a consumer, and renew it from now on; return the life of the queue that it consumes.

        ``auto_delete``: the queue goes with its last consumer. ``on_gone`` is called once if the queue has gone.

        Raises:
            ConsumerCancelled: the queue was deleted since it was declared.
        """
        incarnation = self._data.catalog.route(name, self.project).incarnation
        while not incarnation or not self._attach(name, holder, incarnation):
            try:
                _, incarnation = self._data.catalog.lives.current(name, self.project, None)
            except QueueDoesNotExist as error:
                raise amqp_errors.consumer_cancelled(name) from error
        if auto_delete:
            self._auto_delete[holder] = incarnation
        self._renewal.keep_alive(holder, on_gone)
        return incarnation

    def _attach(self, name: str, holder: str, incarnation: str) -> bool:
        """Add a holder to this life of the queue; return False if that is over."""
        return self._consumers.add_holder(name, holder, self._ttl, self.project, incarnation=incarnation)

    def remove_consumer(self, name: str, holder: str) -> None:
        """Remove a consumer; an auto-delete queue is deleted with the last one."""
        incarnation = self.forget_consumer(holder)
        self._consumers.remove_holders([holder])
        if incarnation is not None:
            self._data.queue_controller.expire(name, self.project, unused=incarnation)

    def forget_consumer(self, holder: str) -> str | None:
        """Renew a consumer no more; return the life of its queue if that goes with the last consumer."""
        self._renewal.stop_renewing(holder)
        return self._auto_delete.pop(holder, None)

    def retire_owner(self, owner: str) -> None:
        """Make the exclusive queues of a closing connection expire with the next maintenance."""
        self.stop_renewing(owner)
        self._consumers.remove_holders([owner])

    def stop_renewing(self, owner: str) -> None:
        """Renew an owner no more."""
        self._renewal.stop_renewing(owner)


def _belongs_to_dead(declared: Metadata, owner: str) -> bool:
    """Return whether a queue of this declaration is exclusive to another connection than ``owner``, which is dead."""
    exclusive = declared.get("exclusive")
    return exclusive not in (None, owner) and processes.is_dead(exclusive)
