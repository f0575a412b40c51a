"""Stands between a driver and its server: loses an answer, does something before a request arrives, swallows all."""

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
    """Hands on what is said between its own port and a server's."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.uri = f"redis://127.0.0.1:{self.port}/0"
        self._loses, self._times = b"", 0
        self._then: Callable[[], object] = lambda: None
        self._awaited = b""
        self._action: Callable[[], object] = lambda: None
        self._flows = _flowing()
        self._forgotten: list[threading.Event] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for flows in (self._flows, *self._forgotten):
            flows.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def lose_answer_to(self, part: bytes, times: int = 1, then: Callable[[], object] = lambda: None) -> None:
        """Hang up once the server has answered one of the next requests with ``part`` in it, after doing something."""
        self._loses, self._times, self._then = part, times, then

    def before(self, part: bytes, action: Callable[[], object]) -> None:
        """Do something before the next request with ``part`` in it is handed on."""
        self._awaited, self._action = part, action

    def swallow(self) -> None:
        """Hand on nothing from now on, though all connections stay open and new ones are accepted."""
        self._flows.clear()

    def forget(self) -> None:
        """Hand on nothing any more of what is said on the connections that there are; new ones are none the worse."""
        self._flows.clear()
        self._forgotten.append(self._flows)
        self._flows = _flowing()

    def go_on(self) -> None:
        """Hand on again what was said meanwhile, and what is said from now on."""
        self._flows.set()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server, suppress(OSError):
            flows, loses = self._flows, False
            while True:
                for side in select.select([client, server], [], [])[0]:
                    flows.wait()
                    data = side.recv(1 << 16)
                    if loses and side is server:
                        self._then()
                        return
                    if not data:
                        return
                    if side is client:
                        loses = self._look_at(data)
                    (server if side is client else client).sendall(data)

    def _look_at(self, request: bytes) -> bool:
        """Do what is to be done before this request; tell whether its answer is to be lost."""
        if self._awaited and self._awaited in request:
            self._awaited = b""
            self._action()
        if self._times and self._loses in request:
            self._times -= 1
            return True
        return False


def _flowing() -> threading.Event:
    flows = threading.Event()
    flows.set()
    return flows
