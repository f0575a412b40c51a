"""Notices that the control store lost all its data, and with it what a connection declared."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kombu_pool import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu_pool.storage import ControlDriver

DATA_LOST = "The control store lost all that it held: queues and exchanges must be declared again"


class ControlEpoch:
    """The epoch of the control store when a connection was opened; ``on_change`` ends that connection.

    Kombu declares a queue once a connection. A connection that outlives its declarations must therefore fail, so that
    Kombu opens another one and declares everything again.
    """

    #: How long messages may go nowhere, as events without a listener do, before the epoch is read again, in seconds.
    CHECK_PERIOD = 1.0

    def __init__(self, control: ControlDriver, on_change: Callable[[], None]) -> None:
        self._control = control
        self._on_change = on_change
        self._epoch = ""
        self._is_over = False
        self._read_at = 0.0

    def begin(self) -> None:
        """Read the epoch when a connection opens, which also shows whether the store answers.

        Raises:
            ConnectionError: it does not.
        """
        self._epoch = self._read()

    def require(self) -> None:
        """Raise if a missing queue or exchange is missing because the store lost its data.

        Raises:
            ConnectionError: the store did (StoreLost), or it does not answer.
        """
        # Also after this connection was failed: its user may not have noticed, or only publish.
        if self._is_over or self._read() != self._epoch:
            raise errors.StoreLost(DATA_LOST)

    def require_periodically(self) -> None:
        """Do what :meth:`require` does, unless the epoch was read less than CHECK_PERIOD seconds ago."""
        if self._is_over or time.monotonic() - self._read_at >= self.CHECK_PERIOD:
            self.require()

    def compare(self, epoch: str) -> None:
        """Call ``on_change`` once if this is another epoch; a connection that is being opened has none yet."""
        if not self._is_over and self._epoch not in ("", epoch):
            self._is_over = True
            self._on_change()

    def _read(self) -> str:
        self._read_at = time.monotonic()
        return self._control.epoch()
