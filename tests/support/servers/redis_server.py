"""A private Redis server for a test."""

from __future__ import annotations

import functools
import shutil
from typing import TYPE_CHECKING, Any, ClassVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.limits import LIMIT
from tests.support.servers.folders import new_folder
from tests.support.servers.ports import free_port
from tests.support.servers.process import Process
from tests.support.servers.programs import require
from tests.support.servers.waiting import first_answer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from typing_extensions import Self

    Option: TypeAlias = str | int | Sequence[str]

#: Timeout of a client, in seconds.
_TIMEOUT = LIMIT
#: Attempts to start on a free port, because another process may take the port first.
_MAX_ATTEMPTS = 10


class Server:
    """A server with its own port and socket, without persistence unless configured.

    Options are lines of its configuration: ``Server(appendonly="yes", maxmemory_policy="noeviction")``; an option with
    several values becomes one line for each. The constructor starts the server; ``with`` stops it.
    """

    #: Arguments after the configuration file on the command line.
    arguments: ClassVar[Sequence[str]] = ()

    def __init__(self, **options: Option) -> None:
        program = require("redis-server")
        self.folder = new_folder()
        self.socket = str(self.folder / "redis.sock")
        self.port = 0
        self._configuration = self.folder / "redis.conf"
        self._command = [program, str(self._configuration), *self.arguments]
        self._clients: list[redis.Redis] = []
        self._start_first({name.replace("_", "-"): value for name, value in options.items()})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.runs

    def uri(self, db: int = 0) -> str:
        return f"redis://{self.address}/{db}"

    def socket_uri(self, db: int = 0) -> str:
        return f"redis+socket://{self.socket}?db={db}"

    def client(self, db: int = 0) -> redis.Redis:
        """Return a redis-py client without retries, which is closed when the server stops."""
        retry = Retry(NoBackoff(), 0)
        path, credentials = self.socket, self._credentials()
        client = redis.Redis(unix_socket_path=path, db=db, retry=retry, socket_timeout=_TIMEOUT, **credentials)
        self._clients.append(client)
        return client

    def ask(self, *command: str | int | bytes) -> Any:
        """Return the server's answer to a command."""
        return self._asker.execute_command(*command)

    def kill(self) -> None:
        """Kill the server, as in a crash."""
        self._process.kill()

    def pause(self) -> None:
        """Stop the process; the kernel still accepts connections for it."""
        self._process.pause()

    def resume(self) -> None:
        self._process.resume()

    def restart(self) -> None:
        """Start the server again, with its port and its data, after ending it if necessary."""
        self._process.end()
        self._start()

    def stop(self) -> None:
        """End the server and delete its folder."""
        self._process.end()
        for client in self._clients:
            client.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @functools.cached_property
    def _asker(self) -> redis.Redis:
        return self.client()

    def _credentials(self) -> dict[str, str]:
        """Return the credentials of a client."""
        return {}

    def _defaults(self) -> dict[str, Option]:
        """Return the default options, with a free port."""
        self.port = free_port()
        return {"port": self.port, "bind": "127.0.0.1", "unixsocket": self.socket, "save": '""'}

    def _start_first(self, options: dict[str, Option]) -> None:
        for _ in range(_MAX_ATTEMPTS):
            self._configure({**self._defaults(), **options})
            try:
                self._start()
                return
            except RuntimeError as error:
                if "Address already in use" not in str(error):
                    raise
        raise RuntimeError(f"no port is free for {self._command}")

    def _configure(self, options: dict[str, Any]) -> None:
        lines = []
        for name, value in options.items():
            values = value if isinstance(value, list | tuple) else [value]
            lines += [f"{name} {one}\n" for one in values]
        self._configuration.write_text("".join(lines))

    def _start(self) -> None:
        self._process = Process(self._command, self.folder, self.folder / "log")
        first_answer(lambda: not self.runs or self.ask("PING"), why=self._log_text)
        if not self.runs:
            self._process.kill()
            raise RuntimeError(f"{self._command} did not start: {self._log_text()}")

    def _log_text(self) -> str:
        return self._process.log.read_text(errors="replace")
