"""The audit log: which actions were taken, when, and by which client."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kombu_pool.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.clock import Clock

logger = logging.getLogger("kombu_pool.audit")

#: Actions, and refused ones, that the page shows; the log has all of them.
MAX_SHOWN, MAX_REFUSED = 1000, 100
#: The beginning of the outcome of an action that was not let in.
REFUSED = "refused"
#: Characters of a target that are kept: a batch may name thousands of ids.
_MAX_TARGET = 500


@dataclass(frozen=True)
class AuditEntry:
    """An action: its time in seconds since the epoch, the client, what it did, on what, and what came of it."""

    time: float
    #: How the client was authenticated: "local" without a token, "session", "bearer", or "basic:" and the user's name.
    user: str
    #: The client's address; empty over a Unix socket.
    address: str
    action: str
    target: str
    outcome: str


class AuditLog:
    """Logs each action to ``kombu_pool.audit``, and keeps the last ones in memory."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._entries: deque[AuditEntry] = deque(maxlen=MAX_SHOWN)
        # Apart: a client without the token must not push the actions of others off the page.
        self._refused: deque[AuditEntry] = deque(maxlen=MAX_REFUSED)

    def record(self, user: str, address: str, action: str, target: str, outcome: str = "done") -> None:
        """Record an action, after it was taken or refused."""
        short = target if len(target) <= _MAX_TARGET else f"{target[:_MAX_TARGET]}..."
        entry = AuditEntry(self._clock.time(), user, address, action, short, outcome)
        if outcome.startswith(REFUSED):
            if self._refused and replace(self._refused[-1], time=entry.time) == entry:
                self._refused.pop()
            self._refused.append(entry)
        else:
            self._entries.append(entry)
        logger.info("%s %r: %r, by %r from %s", action, short, outcome, user, address or "a local socket")

    def entries(self) -> Sequence[AuditEntry]:
        """Return the last actions, the newest first."""
        return sorted([*self._entries, *self._refused], key=lambda entry: entry.time)[::-1]
