"""Notices that the control store lost all that it held, and what was declared there over this connection with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kombu_pool import errors

if TYPE_CHECKING:
    from kombu_pool.storage import ControlDriver

FORGOTTEN = "The control store lost all that it held: what was declared there has to be declared anew"


class Memory:
    """The epoch of the control store when a connection was opened.

    Kombu declares a queue once a connection, and never again. So a connection that outlives what was declared must
    fail, for then Kombu opens another one and declares everything anew.
    """

    #: Seconds for which the store is trusted while messages go nowhere, as events do that nobody listens to.
    TRUST = 1.0

    def __init__(self, control: ControlDriver) -> None:
        self._control = control
        self._epoch = ""
        self._asked_at = 0.0

    def begin(self) -> None:
        """Ask for the epoch, and so whether the store answers: some are opened without a word to who serves them.

        Raises:
            ConnectionError: it does not.
        """
        self._epoch = self._ask()

    def require(self) -> None:
        """Refuse to take a queue or an exchange for deleted when its whole store lost what it held.

        Raises:
            ConnectionError: it did, or it does not answer.
        """
        if self._ask() != self._epoch:
            raise errors.ConnectionError(FORGOTTEN)

    def require_now_and_then(self) -> None:
        """Do as :meth:`require` does, unless that was done a moment ago."""
        if time.monotonic() - self._asked_at >= self.TRUST:
            self.require()

    def fades(self, epoch: str) -> bool:
        """Tell, once, that the store is in another epoch."""
        known, self._epoch = self._epoch, epoch
        return known != epoch

    def _ask(self) -> str:
        self._asked_at = time.monotonic()
        return self._control.epoch()
