"""The error tree: every exception that this project raises deliberately.

::

    KombuPoolError
    ├── ConfigurationError            an invalid URI, option or value
    │   ├── InvalidDriver             the driver of a scheme cannot be loaded or built
    │   └── NothingToChange           an update names no change
    ├── ConnectionError               a store is unreachable now
    │   ├── PoolUnavailable           the store of a named pool is
    │   │   ├── PoolNotCreated        does not exist
    │   │   └── PoolPartUnavailable   a part of it is, as a node of a cluster
    │   ├── PartUnavailable           a part of a store is
    │   └── StoreLost                 a store lost what it held
    ├── StoreError                    a store answers, but cannot serve
    │   ├── IncompatibleStore         not ours, or of another layout version
    │   ├── StoreFull                 no space left, or read-only
    │   └── CorruptRecord             a record that cannot be decoded
    ├── InvalidMessage                a message that cannot be stored
    │   ├── MessageNotEncodable
    │   └── MessageTooLarge
    ├── DoesNotExist
    │   ├── QueueDoesNotExist         MessageDoesNotExist      ClaimDoesNotExist
    │   ├── SubscriptionDoesNotExist  PoolDoesNotExist         FlavorDoesNotExist
    │   └── QueueNotMapped            ExchangeDoesNotExist
    ├── NotPermitted
    │   ├── MessageIsClaimed          MessageNotClaimed        MessageNotClaimedBy
    │   └── PoolInUse                 PoolInUseByFlavor        PoolIsReserved
    ├── Conflict
    │   ├── MessageConflict  ClaimConflict  PoolAlreadyExists  SubscriptionAlreadyExists
    │   └── IncarnationConflict       MoveSuperseded
    ├── QueueIsEmpty                  QueueIsFull
    ├── ClaimDoesNotMatch
    ├── NoPoolFound
    └── PoolCapabilitiesMismatch

An error's message is the first line of its docstring; the values in it are attributes of the error.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

#: The part of a message that names the project, which most programs have not.
_OF_PROJECT = " of project {project!r}"


class KombuPoolError(Exception):
    """An error of kombu_pool."""

    #: The names of the values: the annotations of the class, then those of its bases.
    _fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        annotated = (name for base in cls.__mro__[:-1] for name in inspect.get_annotations(base))
        cls._fields = tuple(dict.fromkeys(name for name in annotated if name != "_fields"))

    def __init__(self, *values: Any, **named: Any) -> None:
        if len(values) > len(self._fields):
            # More values than fields: the first value is the whole message, in place of the docstring's.
            super().__init__(*values)
            return
        given = dict(zip(self._fields, values, strict=False)) | named
        for field in self._fields:
            setattr(self, field, given.get(field))
        super().__init__(*(given.get(field) for field in self._fields))

    def __str__(self) -> str:
        if not self._fields or len(self.args) > len(self._fields):
            return str(self.args[0]) if self.args else _first_line(type(self))
        values = {field: getattr(self, field, None) for field in self._fields}
        line = _first_line(type(self))
        if values.get("project") is None:
            line = line.replace(_OF_PROJECT, "")
        return line.format(**values)


def _first_line(cls: type) -> str:
    return (inspect.getdoc(cls) or cls.__name__).partition("\n")[0].removesuffix(".")


class _ErrorOfQueue(KombuPoolError):
    queue: str
    project: str | None


class ConfigurationError(KombuPoolError, ValueError):
    """The configuration is invalid."""


class InvalidDriver(ConfigurationError):
    """The driver cannot be loaded."""


class NothingToChange(ConfigurationError, AssertionError):  # Zaqar raises AssertionError
    """The update names no change."""


class ConnectionError(KombuPoolError, OSError):  # noqa: A001 - Zaqar's name for it
    """The store is unreachable."""


class PoolUnavailable(ConnectionError):
    """Pool {pool!r} is unreachable: {reason}."""

    pool: str
    reason: str

    @property
    def place(self) -> str:
        """What is unreachable, as ``Catalog.place_of`` names it."""
        return self.pool


class PoolNotCreated(PoolUnavailable):
    """Pool {pool!r} is unreachable: {reason}."""


class PoolPartUnavailable(PoolUnavailable):
    """Part {part!r} of pool {pool!r} is unreachable: {reason}."""

    part: str

    @property
    def place(self) -> str:
        return f"{self.pool} at {self.part}"


class PartUnavailable(ConnectionError):
    """Part {part!r} of the store is unreachable: {reason}."""

    part: str
    reason: str


class StoreLost(ConnectionError):
    """The store lost what it held: queues and exchanges must be declared again."""


class StoreError(KombuPoolError):
    """The store cannot serve: its content is not what was written, or it refuses writes."""


class IncompatibleStore(StoreError):
    """The store was not written by kombu_pool, or by a version with another layout."""


class StoreFull(StoreError, OSError):
    """The store accepts no more writes."""


class CorruptRecord(StoreError):
    """A record cannot be decoded: {reason}."""

    reason: str


class InvalidMessage(KombuPoolError, ValueError):
    """The message cannot be stored."""


class InvalidClaim(KombuPoolError, ValueError):
    """The ttl, the grace or the holder of a claim is none."""


class MessageNotEncodable(InvalidMessage):
    """The body cannot be encoded ({reason}); a body may hold JSON values, bytes, dates, decimals and UUIDs."""

    reason: str


class BodyNotSerialized(MessageNotEncodable):
    """The body is of type {reason}, not text or bytes; a serializer encodes JSON values, bytes need none."""


class MessageTooLarge(InvalidMessage):
    """The message takes {size} bytes, more than max_message_size = {limit}."""

    size: int
    limit: int


class DoesNotExist(KombuPoolError, LookupError):
    """The object does not exist."""


class QueueDoesNotExist(_ErrorOfQueue, DoesNotExist):
    """Queue {queue!r} of project {project!r} does not exist."""

    @property
    def name(self) -> str:
        """The queue's name, as the queue controller names this argument."""
        return self.queue


class MessageDoesNotExist(_ErrorOfQueue, DoesNotExist):
    """Message {message_id!r} does not exist in queue {queue!r} of project {project!r}."""

    message_id: str


class ClaimDoesNotExist(_ErrorOfQueue, DoesNotExist):
    """Claim {claim_id!r} has ended or never existed in queue {queue!r} of project {project!r}."""

    claim_id: str


class SubscriptionDoesNotExist(DoesNotExist):
    """Subscription {subscription_id!r} does not exist."""

    subscription_id: str


class PoolDoesNotExist(DoesNotExist):
    """Pool {pool!r} does not exist."""

    pool: str


class FlavorDoesNotExist(DoesNotExist):
    """Flavor {flavor!r} does not exist."""

    flavor: str


class QueueNotMapped(_ErrorOfQueue, DoesNotExist):
    """No pool is assigned to queue {queue} for project {project}."""


class ExchangeDoesNotExist(DoesNotExist):
    """Exchange {exchange!r} of project {project!r} does not exist."""

    exchange: str
    project: str | None


class NotPermitted(KombuPoolError):
    """The operation is not permitted."""


class MessageIsClaimed(NotPermitted):
    """Message {message_id!r} is claimed: it can be deleted only under its claim."""

    message_id: str


class MessageNotClaimed(NotPermitted):
    """Message {message_id!r} is not claimed, or its claim has ended."""

    message_id: str


class MessageNotClaimedBy(NotPermitted):
    """Message {message_id!r} is not held by claim {claim_id!r}."""

    message_id: str
    claim_id: str


class PoolInUse(NotPermitted):
    """Pool {pool!r} still holds {queues} queue(s); celery pool drain {pool} moves them to other pools."""

    pool: str
    queues: int


class PoolInUseByFlavor(NotPermitted):
    """Pool {pool!r} is the last one of flavor {flavor!r}."""

    pool: str
    flavor: str


class PoolIsReserved(NotPermitted):
    """Pool {pool!r} is the control store's own: it is added when it is needed, and cannot be changed or removed."""

    pool: str


class Conflict(KombuPoolError):
    """The operation conflicts with the store's content."""


class IncarnationConflict(Conflict):
    """Queue {queue!r} of project {project!r} is in the store already, with incarnation {current!r}."""

    queue: str
    project: str | None
    #: The incarnation of that queue; "" if it has none.
    current: str


class MoveSuperseded(_ErrorOfQueue, Conflict):
    """Another process continues the move of queue {queue!r} of project {project!r}."""


class MessageConflict(_ErrorOfQueue, Conflict):
    """Messages could not be added to queue {queue!r} of project {project!r}."""


class ClaimConflict(_ErrorOfQueue, Conflict):
    """Messages of queue {queue!r} of project {project!r} could not be claimed."""


class PoolAlreadyExists(Conflict):
    """Pool {pool!r} has this URI already."""

    pool: str


class SubscriptionAlreadyExists(Conflict):
    """The subscriber has a subscription already."""


class QueueIsEmpty(_ErrorOfQueue):
    """Queue {queue!r} of project {project!r} is empty."""


class QueueIsFull(_ErrorOfQueue):
    """Queue {queue!r} of project {project!r} is full: it accepts no message until another one leaves it."""


class ClaimDoesNotMatch(_ErrorOfQueue):
    """Claim {claim_id!r} does not hold the messages in queue {queue!r} of project {project!r}."""

    claim_id: str


class NoPoolFound(KombuPoolError):
    """Queue {queue!r} of project {project!r} needs a pool of flavor {flavor!r}, weight above 0; there are {pools}."""

    queue: str
    project: str | None
    flavor: str | None
    #: The pools with their weights and flavors, as text.
    pools: str


class PoolCapabilitiesMismatch(KombuPoolError):
    """Pool {pool!r} lacks capabilities of flavor {flavor!r}: {missing}."""

    pool: str
    flavor: str
    missing: str
