"""Free ports of this machine."""

from __future__ import annotations

import itertools
import os
import socket

# Below those that the kernel hands out: a client that knocks at the port of a killed server could otherwise get that
# very port as its own, connect to itself, and keep the server from coming back.
_FIRST, _LAST = 20_000, 32_000
#: Test processes that start together begin far from one another.
_candidates = itertools.count(os.getpid() * 97)


def free_port() -> int:
    """Return a TCP port at which nobody listens now."""
    for number in _candidates:
        port = _FIRST + number % (_LAST - _FIRST)
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError
