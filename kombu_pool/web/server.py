"""A server of the page, until it is stopped."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

import uvicorn

from kombu_pool.errors import ConfigurationError

if TYPE_CHECKING:
    from starlette.applications import Starlette

#: How long a request may take when the server stops, in seconds.
_SHUTDOWN_TIMEOUT = 5


class _Server(uvicorn.Server):
    """Ends the streams before it waits for the requests that are left."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.app.state.site.closing.set()  # type: ignore[union-attr]
        await super().shutdown(sockets)


def require_safe(host: str, token: str | None) -> None:
    """Refuse to serve other machines without a token.

    Raises:
        ConfigurationError: the address is not this machine's alone, and there is no token.
    """
    if token is None and not _is_loopback(host):
        raise ConfigurationError(
            f"--host {host} lets other machines in, so it needs a token: put one into a file and name it by "
            "--token-file, or set KOMBU_POOL_WEB_TOKEN"
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 is a free one.

    Raises:
        ConfigurationError: the address cannot be used.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise ConfigurationError(f"Cannot listen on {host} port {port}: {error.strerror or error}") from error


def make(app: Starlette, root_path: str = "") -> uvicorn.Server:
    """Return a server of the application, whose ``run`` takes sockets that listen."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="on", server_header=False, root_path=root_path,
        timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT,
    )  # fmt: skip
    return _Server(config)


def serve(app: Starlette, listener: socket.socket, root_path: str = "") -> None:
    """Serve the application until SIGINT or SIGTERM; ``root_path`` is what a proxy has removed from the paths."""
    make(app, root_path).run([listener])
