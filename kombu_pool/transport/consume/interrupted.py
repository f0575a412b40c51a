"""Gives back the messages of deliveries that an exception broke off, as that of a signal handler may anywhere.

The thread that was interrupted may never call again, so another one looks. Each message of a lease must be ready for
delivery, delivered, or acknowledged; and each claim of this process must have a lease, unless it is being made.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Protocol, TypeAlias
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kombu_pool.model import Project
    from kombu_pool.storage import ClaimController
    from kombu_pool.transport.consume.leases import Lease
    from kombu_pool.transport.consume.renewal import Renewal

Scope: TypeAlias = "tuple[Project, str]"

#: The renewals of this process: a claim of any of them has its holder.
renewals: WeakSet[Renewal] = WeakSet()
#: The queues of the claims in progress.
_in_progress: dict[object, Scope] = {}
#: The queues in which no claim may begin now.
_paused: set[Scope] = set()
#: Longest wait of a claim while its queue is paused, in seconds.
_LONGEST_PAUSE = 5.0
_STEP = 0.005


class Keeper(Protocol):
    """What keeps claimed messages: a dispatcher, a channel, the settlement."""

    def kept(self) -> Iterable[tuple[Lease, Iterable[str]]]:
        """Return the messages that it will deliver or settle, or that a consumer may settle."""

    def forget(self, lease: Lease, message_ids: set[str]) -> None:
        """Drop what was broken off: these messages are given back."""


def begin_claim(token: object, scope: Scope) -> None:
    """Register a claim in progress; :func:`end_claim` follows. Waits while the queue is paused."""
    _in_progress[token] = scope
    if scope in _paused:
        until = time.monotonic() + _LONGEST_PAUSE
        while scope in _paused and time.monotonic() < until:
            del _in_progress[token]
            time.sleep(_STEP)
            _in_progress[token] = scope


#: Take note that a claim, the first argument, has a lease or has failed. In C: no signal handler can prevent it.
end_claim = _in_progress.pop


class Interrupted:
    """The deliveries of one broker that may have been broken off."""

    #: Seconds between the two looks that tell a delivery that goes on from one that was broken off, and until
    #: a store has executed the last request of the interrupted thread.
    INTERVAL = 0.3

    def __init__(
        self, claims: ClaimController, renewal: Renewal, give_back: Callable[[Lease, list[str]], None]
    ) -> None:
        self.keepers: WeakSet[Keeper] = WeakSet()
        self._claims = claims
        self._renewal = renewal
        self._give_back = give_back
        #: The queues in which a claim was broken off.
        self._scopes: set[Scope] = set()
        self._is_suspected = False
        self._looked_at: float | None = None
        self._found: Mapping[Lease, set[str]] = {}
        self._due: set[Scope] = set()
        renewals.add(renewal)

    def suspect(self, scope: Scope | None = None) -> None:
        """Look for broken-off deliveries soon, and for a claim in this queue of which nothing is known."""
        if scope is not None:
            self._scopes.add(scope)
        self._is_suspected = True

    def wait_limit(self, longest: float) -> float:
        """Return the seconds until the next look, at most ``longest``."""
        return min(longest, self.INTERVAL / 4) if self._is_suspected or self._looked_at is not None else longest

    def look(self) -> bool:
        """Give back what two looks in a row found broken off; return whether something was suspected.

        Raises:
            KombuPoolError: a store did not answer; the next look asks again.
        """
        if self._looked_at is None:
            if self._is_suspected:
                self._is_suspected, self._looked_at = False, time.monotonic()
                self._due, self._scopes = self._scopes, set()
                self._found = self._broken_off()
            return self._looked_at is not None
        if time.monotonic() - self._looked_at < self.INTERVAL:
            return True
        self._looked_at = None
        for lease, ids in self._broken_off().items():
            if both := ids & self._found.get(lease, set()):
                self._end_delivery(lease, both)
        while self._due:
            scope = self._due.pop()
            try:
                self._end_unknown(scope)
            except BaseException:
                self.suspect(scope)
                raise
        return True

    def _broken_off(self) -> dict[Lease, set[str]]:
        """Return the messages that nothing keeps, by their leases."""
        leases = self._renewal.leases()
        kept: dict[Lease, set[str]] = {}
        for keeper in list(self.keepers):
            for lease, ids in keeper.kept():
                kept.setdefault(lease, set()).update(ids)
        found = {}
        for lease in leases:
            unsettled, settling = lease.known()
            if missing := unsettled - settling - kept.get(lease, set()):
                found[lease] = missing
        return found

    def _end_delivery(self, lease: Lease, message_ids: set[str]) -> None:
        for keeper in list(self.keepers):
            keeper.forget(lease, message_ids)
        try:
            self._give_back(lease, list(message_ids))
        except BaseException:
            self.suspect()
            raise

    def _end_unknown(self, scope: Scope) -> None:
        """End the claims of this process in a queue that have no lease."""
        _paused.add(scope)
        try:
            if scope in _in_progress.values():
                self.suspect(scope)
                return
            leases = [lease for renewal in list(renewals) for lease in renewal.leases()]
            keep = [lease.claim_id for lease in leases if (lease.project, lease.queue) == scope]
            holder = self._renewal.metadata.get("holder")
            if holder is not None:
                self._claims.end_claims(holder, [scope], keep=keep)
        finally:
            _paused.discard(scope)


def _after_fork() -> None:
    """Forget the claims that threads of the parent process were making."""
    _in_progress.clear()
    _paused.clear()
    renewals.clear()


os.register_at_fork(after_in_child=_after_fork)
