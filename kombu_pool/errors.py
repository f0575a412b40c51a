"""The error tree: every exception that this project raises deliberately.

::

    KombuPoolError
    ├── ConfigurationError            an invalid URI, option or value
    │   ├── InvalidDriver             the driver of a scheme cannot be loaded or built
    │   └── NothingToChange           an update names no change
    ├── ConnectionError               a store is unreachable now
    │   └── PoolUnavailable           the store of a named pool is
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
    │   └── PoolInUse                 PoolInUseByFlavor
    ├── Conflict
    │   └── MessageConflict  ClaimConflict  PoolAlreadyExists  SubscriptionAlreadyExists
    ├── QueueIsEmpty                  QueueIsFull
    ├── ClaimDoesNotMatch
    ├── NoPoolFound
    └── PoolCapabilitiesMismatch

An error's message is the first line of its docstring; the values in it are attributes of the error.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar


class KombuPoolError(Exception):
    """An error of kombu_pool."""

    _fields: ClassVar[tuple[str, ...]] = ()

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
        return _first_line(type(self)).format(**{field: getattr(self, field, None) for field in self._fields})


def _first_line(cls: type) -> str:
    return (inspect.getdoc(cls) or cls.__name__).partition("\n")[0].removesuffix(".")


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

    _fields = ("pool", "reason")
    pool: str
    reason: str


class StoreError(KombuPoolError):
    """The store cannot serve: its content is not what was written, or it refuses writes."""


class IncompatibleStore(StoreError):
    """The store was not written by kombu_pool, or by a version with another layout."""


class StoreFull(StoreError, OSError):
    """The store accepts no more writes."""


class CorruptRecord(StoreError):
    """A record cannot be decoded: {reason}."""

    _fields = ("reason",)
    reason: str


class InvalidMessage(KombuPoolError, ValueError):
    """The message cannot be stored."""


class MessageNotEncodable(InvalidMessage):
    """The body cannot be encoded ({reason}); a body may hold JSON values, bytes, or a mix of them."""

    _fields = ("reason",)
    reason: str


class MessageTooLarge(InvalidMessage):
    """The message takes {size} bytes, more than max_message_size = {limit}."""

    _fields = ("size", "limit")
    size: int
    limit: int


class DoesNotExist(KombuPoolError, LookupError):
    """The object does not exist."""


class QueueDoesNotExist(DoesNotExist):
    """Queue {queue!r} of project {project!r} does not exist."""

    _fields = ("queue", "project")
    queue: str
    project: str | None

    @property
    def name(self) -> str:
        """The queue's name, as the queue controller names this argument."""
        return self.queue


class MessageDoesNotExist(DoesNotExist):
    """Message {message_id!r} does not exist in queue {queue!r} of project {project!r}."""

    _fields = ("message_id", "queue", "project")
    message_id: str
    queue: str
    project: str | None


class ClaimDoesNotExist(DoesNotExist):
    """Claim {claim_id!r} has ended or never existed in queue {queue!r} of project {project!r}."""

    _fields = ("claim_id", "queue", "project")
    claim_id: str
    queue: str
    project: str | None


class SubscriptionDoesNotExist(DoesNotExist):
    """Subscription {subscription_id!r} does not exist."""

    _fields = ("subscription_id",)
    subscription_id: str


class PoolDoesNotExist(DoesNotExist):
    """Pool {pool!r} does not exist."""

    _fields = ("pool",)
    pool: str


class FlavorDoesNotExist(DoesNotExist):
    """Flavor {flavor!r} does not exist."""

    _fields = ("flavor",)
    flavor: str


class QueueNotMapped(DoesNotExist):
    """No pool is assigned to queue {queue!r} for project {project!r}."""

    _fields = ("queue", "project")
    queue: str
    project: str | None

    def __str__(self) -> str:
        return f"No pool is assigned to queue {self.queue} for project {self.project}"


class ExchangeDoesNotExist(DoesNotExist):
    """Exchange {exchange!r} of project {project!r} does not exist."""

    _fields = ("exchange", "project")
    exchange: str
    project: str | None


class NotPermitted(KombuPoolError):
    """The operation is not permitted."""


class MessageIsClaimed(NotPermitted):
    """Message {message_id!r} is claimed: it can be deleted only under its claim."""

    _fields = ("message_id",)
    message_id: str


class MessageNotClaimed(NotPermitted):
    """Message {message_id!r} is not claimed, or its claim has ended."""

    _fields = ("message_id",)
    message_id: str


class MessageNotClaimedBy(NotPermitted):
    """Message {message_id!r} is not held by claim {claim_id!r}."""

    _fields = ("message_id", "claim_id")
    message_id: str
    claim_id: str


class PoolInUse(NotPermitted):
    """Pool {pool!r} still holds {queues} queue(s); move or delete them first."""

    _fields = ("pool", "queues")
    pool: str
    queues: int


class PoolInUseByFlavor(NotPermitted):
    """Pool {pool!r} is the last one of flavor {flavor!r}."""

    _fields = ("pool", "flavor")
    pool: str
    flavor: str


class Conflict(KombuPoolError):
    """The operation conflicts with the store's content."""


class IncarnationConflict(Conflict):
    """Queue {queue!r} of project {project!r} is in the store already, with incarnation {current!r}."""

    _fields = ("queue", "project", "current")
    queue: str
    project: str | None
    #: The incarnation of that queue; "" if it has none.
    current: str


class MessageConflict(Conflict):
    """Messages could not be added to queue {queue!r} of project {project!r}."""

    _fields = ("queue", "project")


class ClaimConflict(Conflict):
    """Messages of queue {queue!r} of project {project!r} could not be claimed."""

    _fields = ("queue", "project")


class PoolAlreadyExists(Conflict):
    """Pool {pool!r} has this URI already."""

    _fields = ("pool",)
    pool: str


class SubscriptionAlreadyExists(Conflict):
    """The subscriber has a subscription already."""


class QueueIsEmpty(KombuPoolError):
    """Queue {queue!r} of project {project!r} is empty."""

    _fields = ("queue", "project")
    queue: str
    project: str | None


class QueueIsFull(KombuPoolError):
    """Queue {queue!r} of project {project!r} is full: it accepts no message until another one leaves it."""

    _fields = ("queue", "project")
    queue: str
    project: str | None


class ClaimDoesNotMatch(KombuPoolError):
    """Claim {claim_id!r} does not hold the messages in queue {queue!r} of project {project!r}."""

    _fields = ("claim_id", "queue", "project")
    claim_id: str
    queue: str
    project: str | None


class NoPoolFound(KombuPoolError):
    """No pool can take the queue: add a pool of its flavor, or give one a weight above 0."""


class PoolCapabilitiesMismatch(KombuPoolError):
    """Pool {pool!r} lacks capabilities of flavor {flavor!r}: {missing}."""

    _fields = ("pool", "flavor", "missing")
    pool: str
    flavor: str
