"""Free TCP ports."""

from __future__ import annotations

import itertools
import os
import socket

# Below the ephemeral ports of the kernel: a client that connects to the port of a killed server could otherwise be
# given that port as its own, connect to itself, and block the restart of the server.
_FIRST, _LAST = 20_000, 32_000
#: Concurrent test processes start far apart from one another.
_candidates = itertools.count(os.getpid() * 97)


def free_port() -> int:
    """Return a TCP port that is not in use."""
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
