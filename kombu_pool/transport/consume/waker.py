"""Wakes the event loop when a thread has something for it."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Bell:
    """A socket pair that makes the event loop's poll return. Its own, for a hub of Kombu 5.6 has no waker."""

    #: Seconds after which the loop turns by itself. A signal does not end its poll: without a timer, an idle worker
    #: would hear only after five seconds that it should stop.
    TURN = 0.5

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._rung = False
        self._loop: Any = None
        self._timer: Any = None

    def hang(self, loop: Any, heard: Callable[..., None], *arguments: Any) -> None:
        """Let the event loop call ``heard`` when the bell has rung."""
        self.take_down()
        self._loop = loop
        loop.add_reader(self.fileno(), heard, *arguments)
        self._timer = loop.call_repeatedly(self.TURN, _turn)

    def take_down(self) -> None:
        """Take it out of its loop. Idempotent."""
        if self._loop is not None:
            self._loop.remove_reader(self.fileno())
            self._timer.cancel()
            self._loop = self._timer = None

    def fileno(self) -> int:
        return self._reader.fileno()

    def ring(self) -> None:
        """Ring, unless it rings already."""
        if not self._rung:
            self._rung = True
            # Full: then it rings. Closed: then nobody listens.
            with contextlib.suppress(OSError):
                self._writer.send(b"\0")

    def quiet(self) -> None:
        """Stop ringing; what comes after this rings again."""
        with contextlib.suppress(OSError):
            self._reader.recv(4096)
        self._rung = False

    def close(self) -> None:
        """Take it out of its loop and close it."""
        self.take_down()
        self._reader.close()
        self._writer.close()


def _turn() -> None:
    """Let the loop turn: it needs no more."""
