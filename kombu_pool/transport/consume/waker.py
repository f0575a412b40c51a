"""Wakes the event loop when a thread has messages for it."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Waker:
    """A socket pair whose readable end ends the event loop's poll. A hub of Kombu 5.6 has no waker to use instead."""

    #: Period of the loop's timer, in seconds. A signal does not end the loop's poll: without a timer an idle worker
    #: would notice a shutdown signal only after five seconds.
    TIMER_PERIOD = 0.5

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._is_set = False
        self._loop: Any = None
        self._timer: Any = None

    def register(self, loop: Any, callback: Callable[[], None]) -> None:
        """Make the event loop call ``callback`` after each :meth:`wake`."""
        self.unregister()
        self._loop = loop
        loop.add_reader(self._reader.fileno(), callback)
        self._timer = loop.call_repeatedly(self.TIMER_PERIOD, _end_poll)

    def unregister(self) -> None:
        """Remove the waker from its loop. Idempotent."""
        if self._loop is not None:
            self._loop.remove_reader(self._reader.fileno())
            self._timer.cancel()
            self._loop = self._timer = None

    def wake(self) -> None:
        """Make the socket readable, unless it is. From any thread."""
        if not self._is_set:
            self._is_set = True
            # Full: the loop wakes anyway. Closed: no loop is left.
            with contextlib.suppress(OSError):
                self._writer.send(b"\0")

    def drain(self) -> None:
        """Make the socket unreadable; the next :meth:`wake` counts again."""
        with contextlib.suppress(OSError):
            self._reader.recv(4096)
        self._is_set = False

    def close(self) -> None:
        """Remove the waker from its loop and close its sockets."""
        self.unregister()
        self._reader.close()
        self._writer.close()


def _end_poll() -> None:
    """Do nothing: the timer that calls this has ended the loop's poll."""
