"""The functions of a driver module, for drivers whose stores are found by a location."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.uri import StoreUri
    from kombu_pool.storage import ControlDriver, DataDriver, DeadLetterHooks

Location = TypeVar("Location")


@dataclass(frozen=True)
class Opener(Generic[Location]):
    """Opens the stores of one kind, which need neither a control store nor a cache."""

    #: Validates a URI and the options that override its query.
    locate: Callable[[StoreUri, Mapping[str, Any], Any], Location]
    data: Callable[[Location, Clock, DeadLetterHooks], DataDriver]
    control: Callable[[StoreUri, Location, Clock], ControlDriver]
    #: Returns whether the store exists; a call to a driver would create it.
    exists: Callable[[Location], bool]

    def open_data(
        self,
        uri: StoreUri,
        *,
        control: ControlDriver | None,
        conf: Any,
        cache: Any,
        clock: Clock,
        options: Mapping[str, Any],
        dead_letter_hooks: DeadLetterHooks,
    ) -> DataDriver:
        """Open a message store; most connect on first use."""
        return self.data(self.locate(uri, options, conf), clock, dead_letter_hooks)

    def open_control(self, uri: StoreUri, *, conf: Any, cache: Any, clock: Clock) -> ControlDriver:
        """Open a control store."""
        return self.control(uri, self.locate(uri, {}, conf), clock)

    def is_created(self, uri: StoreUri, *, conf: Any, options: Mapping[str, Any]) -> bool:
        """Return whether the store exists, without creating it."""
        return self.exists(self.locate(uri, options, conf))
