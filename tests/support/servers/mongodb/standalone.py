"""A private MongoDB server for a test."""

from __future__ import annotations

import shutil
import socket
from typing import TYPE_CHECKING, Any

import pymongo

from tests.support.servers.folders import new_folder
from tests.support.servers.mongodb.program import require_mongod, version_of
from tests.support.servers.ports import free_port
from tests.support.servers.process import Process
from tests.support.servers.waiting import first_answer

if TYPE_CHECKING:
    from typing import TypeAlias

    from typing_extensions import Self

    Parameter: TypeAlias = str | int

#: Timeout of a client, in milliseconds.
_TIMEOUT = 30_000
#: Attempts to start on a free port, because another process may take the port first.
_MAX_ATTEMPTS = 10
_ARGUMENTS = (
    *("--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet", "--wiredTigerCacheSizeGB", "0.25"),
    # By default the journal takes 300 MB at the start.
    *("--wiredTigerEngineConfigString", "log=(file_max=32MB,prealloc=false)"),
)
_PARAMETERS = {
    # Otherwise the server writes diagnostic data each second.
    "diagnosticDataCollectionEnabled": "false",
}
_PARAMETERS_SINCE_5 = {
    # The default of a replica set member is to wait 15 s for its clients.
    "shutdownTimeoutMillisForSignaledShutdown": 100,
}


class MongoServer:
    """A server with its own port and folder, and a journal.

    Options are server parameters: with ``MongoServer(enableTestCommands=1)``, fail points can be configured. The
    constructor starts the server; ``with`` stops it.
    """

    def __init__(self, **parameters: Parameter) -> None:
        self._program = require_mongod()
        newer = _PARAMETERS_SINCE_5 if version_of(self._program) >= (5, 0) else {}
        self._parameters = {**_PARAMETERS, **newer, **parameters}
        self._clients: list[pymongo.MongoClient] = []
        self.folder = new_folder()
        self._start_first()

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

    def uri(self, database: str = "test") -> str:
        return f"mongodb://{self.address}/{database}"

    def client(self, **options: Any) -> pymongo.MongoClient:
        """Return a PyMongo client of this server only, which is closed when the server stops."""
        client = self._connect(**options)
        self._clients.append(client)
        return client

    def ask(self, command: str, value: Any = 1, **arguments: Any) -> dict[str, Any]:
        """Return the server's answer to a command on the ``admin`` database."""
        # The client is closed: its threads and connections would be inherited by every fork of the test process.
        with self._connect() as client:
            return client.admin.command(command, value, **arguments)

    def kill(self) -> None:
        """Kill the server, as in a crash."""
        self._process.kill()

    def pause(self) -> None:
        """Stop the process; the kernel still accepts connections for it."""
        self._process.pause()
        self.paused = True

    def resume(self) -> None:
        self._process.resume()
        self.paused = False

    def restart(self) -> None:
        """Restart the server with its port and its data."""
        self._process.end()
        self._start()

    def stop(self) -> None:
        """End the server and delete its folder."""
        for client in self._clients:
            client.close()
        # A clean shutdown is not needed: the folder is deleted.
        self._process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _connect(self, **options: Any) -> pymongo.MongoClient:
        limits = dict.fromkeys(("serverSelectionTimeoutMS", "connectTimeoutMS", "socketTimeoutMS"), _TIMEOUT)
        return pymongo.MongoClient(self.address, **{"directConnection": True, **limits, **options})

    def _arguments(self) -> list[str]:
        """Return the command line arguments, without the parameters."""
        return ["--port", str(self.port), "--dbpath", str(self.folder), *_ARGUMENTS]

    def _start_first(self) -> None:
        for _ in range(_MAX_ATTEMPTS):
            self.port = free_port()
            try:
                self._start()
                return
            except RuntimeError as error:
                if "Address already in use" not in str(error):
                    raise
        raise RuntimeError("no port is free for mongod")

    def _start(self) -> None:
        parameters = [word for item in self._parameters.items() for word in ("--setParameter", "{}={}".format(*item))]
        self.paused = False
        self._process = Process([self._program, *self._arguments(), *parameters], self.folder, self.folder / "log")
        first_answer(lambda: not self.runs or self._answers(), why=self._log_text)
        if not self.runs:
            self._process.kill()
            raise RuntimeError(f"mongod did not start: {self._log_text()}")

    def _answers(self) -> bool:
        """Return whether this server answers: another process may have taken its port."""
        with socket.socket() as probe:
            # PyMongo would retry a refused connection only after half a second.
            if probe.connect_ex(("127.0.0.1", self.port)):
                return False
        return self.ask("serverStatus")["pid"] == self.pid

    def _log_text(self) -> str:
        return self._process.log.read_text(errors="replace")
