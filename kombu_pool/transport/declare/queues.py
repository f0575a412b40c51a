"""Queues as AMQP has them: declared with arguments, exclusive or not, gone when their time has come."""

from __future__ import annotations

import contextlib
import logging
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, NamedTuple

from amqp.exceptions import NotFound, PreconditionFailed, ResourceLocked

from kombu_pool.errors import ExchangeDoesNotExist, QueueDoesNotExist
from kombu_pool.storage import FLAVOR
from kombu_pool.transport.declare import exclusive_owners
from kombu_pool.transport.declare import queue_arguments as arguments_of
from kombu_pool.transport.declare.queue_arguments import DECLARED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kombu_pool.model import Metadata, Project
    from kombu_pool.pooling import DataDriver
    from kombu_pool.storage import ControlDriver
    from kombu_pool.transport.consume.leases import Renewal
    from kombu_pool.transport.declare.exchanges import Router
    from kombu_pool.transport.options import TransportOptions

logger = logging.getLogger(__name__)


class Declared(NamedTuple):
    """The answer to ``queue.declare``."""

    queue: str
    message_count: int
    consumer_count: int


class Queues:
    """The queues of one project."""

    def __init__(
        self,
        data: DataDriver,
        control: ControlDriver,
        router: Router,
        renewal: Renewal,
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
        self._warned: set[str] = set()

    def declare(
        self, name: str, owner: str, *, durable: bool, exclusive: bool, auto_delete: bool, arguments: Mapping[str, Any]
    ) -> None:
        """Create the queue unless it is there; ``owner`` is the connection that declares it.

        Raises:
            PreconditionFailed: it is there, and was declared otherwise.
            ResourceLocked: it is there, and is another connection's alone.
        """
        declared = {
            "durable": bool(durable),
            "exclusive": owner if exclusive else None,
            "auto_delete": bool(auto_delete),
            "arguments": {key: arguments[key] for key in sorted(arguments)},
        }
        metadata = self._metadata(name, declared)
        lifetime = arguments_of.lifetime_of(name, arguments)
        if _is_temporary(declared) and not self._data.queue_controller.exists(name, self.project):
            # Before it is there: whoever dies in between leaves something that goes by itself.
            self._count_down(name, owner, declared, lifetime)
        created = self._data.queue_controller.create(name, metadata, self.project)
        if not created and self._is_orphaned(name, owner):
            self.delete(name)
            created = self._data.queue_controller.create(name, metadata, self.project)
        if not created:
            self._check(name, owner, declared)
            if lifetime is not None:
                self._consumers.touch(name, self.project)
            return
        self._count_down(name, owner, declared, lifetime)

    def _count_down(self, name: str, owner: str, declared: Metadata, lifetime: float | None) -> None:
        """Let a queue that was declared so go once nobody uses it."""
        if declared["exclusive"]:
            # Should there never be more than this, it goes as well.
            self._consumers.set_lifetime(name, self._ttl, self.project, from_now=True)
            self._consumers.add_holder(name, owner, self._ttl, self.project, consuming=False)
            self._consumers.set_lifetime(name, 0.0, self.project)
            self._renewal.keep_alive(owner)
        elif lifetime is not None:
            self._consumers.set_lifetime(name, lifetime, self.project, from_now=True)
        elif declared["auto_delete"]:
            self._consumers.set_lifetime(name, 0.0, self.project)

    def _is_orphaned(self, name: str, owner: str) -> bool:
        """Tell whether the queue belongs to another connection alone, which is dead."""
        alone = (self._declared(name) or {}).get("exclusive")
        if alone in (None, owner):
            return False
        # Nobody may have been there to tidy up since.
        return exclusive_owners.is_gone(alone) or (self.project, name) in self._consumers.expired_queues()

    def _metadata(self, name: str, declared: Metadata) -> Metadata:
        arguments = declared["arguments"]
        for argument in arguments_of.unknown(arguments) - self._warned:
            self._warned.add(argument)
            logger.warning("The queue argument %r has no effect here", argument)
        metadata: Metadata = {DECLARED: declared, **arguments_of.policy_of(name, arguments)}
        flavor = arguments.get(arguments_of.FLAVOR_ARGUMENT) or self._flavor(name)
        if flavor:
            metadata[FLAVOR] = flavor
        return metadata

    def _flavor(self, name: str) -> str | None:
        if name in self._flavors:
            return self._flavors[name]
        return next((flavor for pattern, flavor in self._flavors.items() if fnmatchcase(name, pattern)), None)

    def _check(self, name: str, owner: str, declared: Metadata) -> None:
        there = self._declared(name)
        if there is None:
            return
        self._refuse_strangers(name, owner, there)
        ours = {**declared, "exclusive": bool(declared["exclusive"])}
        theirs = {**there, "exclusive": bool(there.get("exclusive"))}
        for key in ("durable", "exclusive", "auto_delete", "arguments"):
            if ours[key] != theirs.get(key):
                raise PreconditionFailed(
                    f"PRECONDITION_FAILED - inequivalent {key} for queue '{name}': received {ours[key]!r}, "
                    f"current is {theirs.get(key)!r}",
                    (50, 10),
                    "Channel.queue_declare",
                )

    def _declared(self, name: str) -> Metadata | None:
        """Return how the queue was declared; None when it came by the library."""
        try:
            declared: Metadata | None = self._data.queue_controller.get_metadata(name, self.project).get(DECLARED)
        except QueueDoesNotExist:
            return None
        return declared

    @staticmethod
    def _refuse_strangers(name: str, owner: str, declared: Metadata) -> None:
        if declared.get("exclusive") not in (None, owner):
            raise ResourceLocked(
                f"RESOURCE_LOCKED - queue '{name}' belongs to another connection alone",
                (50, 10),
                "Channel.queue_declare",
            )

    def require(self, name: str, owner: str, method: str) -> Metadata:
        """Return how the queue was declared.

        Raises:
            NotFound: there is no such queue.
            ResourceLocked: it is another connection's alone.
        """
        try:
            metadata = self._data.queue_controller.get_metadata(name, self.project)
        except QueueDoesNotExist as error:
            raise NotFound(f"NOT_FOUND - no queue '{name}' here", (50, 10), f"Channel.{method}") from error
        declared: Metadata = metadata.get(DECLARED) or {}
        self._refuse_strangers(name, owner, declared)
        return declared

    def counts(self, name: str) -> Declared:
        """Return the queue's free messages and living consumers."""
        return Declared(
            name,
            self._data.message_controller.count(name, self.project),
            self._consumers.count(name, self.project),
        )

    def total(self, name: str) -> int:
        """Return how many messages the queue has, free or not."""
        messages: int = self._data.queue_controller.stats(name, self.project)["messages"]["total"]
        return messages

    def purge(self, name: str) -> int:
        """Delete what nobody holds, and return how many messages that were."""
        return self._data.message_controller.purge(name, self.project)

    def delete(self, name: str) -> None:
        """Delete the queue, its bindings, and the exchanges that were to go with the last of those."""
        self.delete_of(self.project, name)

    def expire(self, project: Project, name: str) -> None:
        """Delete a queue that nobody has used for its lifetime, but none that is to stay."""
        try:
            declared = self._data.queue_controller.get_metadata(name, project).get(DECLARED)
        except QueueDoesNotExist:
            declared = None
        if declared is None or _is_temporary(declared):
            self.delete_of(project, name)
        else:
            # Somebody was about to declare it otherwise when it was declared like this.
            self._consumers.forget(name, project)

    def delete_of(self, project: Project, name: str) -> None:
        """Delete a queue of any project, as :meth:`delete` does."""
        exchanges = self._bindings.unbind_queue(name, project)
        self._data.queue_controller.delete(name, project)
        self._consumers.forget(name, project)
        self.delete_unbound(*exchanges, project=project)

    def delete_unbound(self, *exchanges: str, project: Project) -> None:
        """Delete those of the exchanges that are auto-delete and have no binding left."""
        self._router.forget(*exchanges)
        for exchange in dict.fromkeys(exchanges):
            with contextlib.suppress(ExchangeDoesNotExist):
                if self._bindings.get_exchange(exchange, project)["auto_delete"]:
                    self._delete_if_unbound(exchange, project)

    def _delete_if_unbound(self, exchange: str, project: Project) -> None:
        if not self._bindings.list(exchange, project):
            self._bindings.delete_exchange(exchange, project)

    def add_consumer(self, name: str, holder: str) -> None:
        """Count a consumer of the queue, and keep it alive."""
        self._consumers.add_holder(name, holder, self._ttl, self.project)
        self._renewal.keep_alive(holder)

    def remove_consumer(self, name: str, holder: str) -> None:
        """Count a consumer no more; an auto-delete queue goes with the last."""
        self._renewal.stop_renewing(holder)
        self._consumers.remove_holders([holder])
        declared = self._declared(name)
        if declared and declared.get("auto_delete") and not self._consumers.count(name, self.project):
            self.delete(name)

    def retire_owner(self, owner: str) -> None:
        """Let the exclusive queues of a connection that closes be deleted with the next tidying."""
        self.stop_renewing(owner)
        self._consumers.remove_holders([owner])

    def stop_renewing(self, owner: str) -> None:
        """Keep an owner alive no longer."""
        self._renewal.stop_renewing(owner)


def _is_temporary(declared: Metadata) -> bool:
    """Tell whether a queue that was declared so goes by itself."""
    has_lifetime = arguments_of.lifetime_of("", declared["arguments"]) is not None
    return bool(declared["exclusive"] or declared["auto_delete"] or has_lifetime)
