"""A TCP proxy between a driver and its server: drops an answer, runs code before a request, or blocks all traffic."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self


class Proxy:
    """Relays the traffic between its own port and a server's."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.uri = f"redis://127.0.0.1:{self.port}/0"
        self._drop, self._times = b"", 0
        self._after_answer: Callable[[], object] = lambda: None
        self._trigger = b""
        self._action: Callable[[], object] = lambda: None
        self._flowing = _set_event()
        self._blocked: list[threading.Event] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for flowing in (self._flowing, *self._blocked):
            flowing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def lose_answer_to(self, part: bytes, times: int = 1, then: Callable[[], object] = lambda: None) -> None:
        """Close the connection, after calling ``then``, instead of relaying the answer to a request with ``part``."""
        self._drop, self._times, self._after_answer = part, times, then

    def before(self, part: bytes, action: Callable[[], object]) -> None:
        """Call ``action`` before the next request that contains ``part`` is relayed."""
        self._trigger, self._action = part, action

    def block(self) -> None:
        """Stop relaying; connections stay open and new ones are accepted."""
        self._flowing.clear()

    def block_open_connections(self) -> None:
        """Stop relaying on the open connections for good; new ones work."""
        self._flowing.clear()
        self._blocked.append(self._flowing)
        self._flowing = _set_event()

    def unblock(self) -> None:
        """Relay the traffic that was held back, and continue."""
        self._flowing.set()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server, suppress(OSError):
            flowing, drops_answer = self._flowing, False
            while True:
                for side in select.select([client, server], [], [])[0]:
                    flowing.wait()
                    data = side.recv(1 << 16)
                    if drops_answer and side is server:
                        self._after_answer()
                        return
                    if not data:
                        return
                    if side is client:
                        drops_answer = self._handle_request(data)
                    (server if side is client else client).sendall(data)

    def _handle_request(self, request: bytes) -> bool:
        """Run the action for this request; return whether its answer must be dropped."""
        if self._trigger and self._trigger in request:
            self._trigger = b""
            self._action()
        if self._times and self._drop in request:
            self._times -= 1
            return True
        return False


def _set_event() -> threading.Event:
    event = threading.Event()
    event.set()
    return event
