"""A MongoDB server of one's own."""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo

from tests.support.servers.mongodb.program import require_mongod, version_of
from tests.support.servers.ports import free_port
from tests.support.servers.process import Process, keeper
from tests.support.servers.waiting import first_answer

if TYPE_CHECKING:
    from typing import TypeAlias

    from typing_extensions import Self

    Parameter: TypeAlias = str | int

#: Milliseconds after which a client gives up a server that does not answer.
_TIMEOUT = 5000
#: How often another process may be quicker at a port that was free.
_ATTEMPTS = 10
_ARGUMENTS = ("--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet", "--wiredTigerCacheSizeGB", "0.25")
_PARAMETERS = {
    # It would write numbers about itself each second.
    "diagnosticDataCollectionEnabled": "false",
}
_PARAMETERS_SINCE_5 = {
    # A member of a replica set would wait 15 seconds for its clients to leave.
    "shutdownTimeoutMillisForSignaledShutdown": 100,
}


class MongoServer:
    """A server on a port of its own, that keeps a journal in a folder of its own.

    Options are parameters that a server is started with: ``MongoServer(enableTestCommands=1)`` can be told to fail. It
    runs from the start on; ``with`` stops it at the end.
    """

    def __init__(self, **parameters: Parameter) -> None:
        self._program = require_mongod()
        newer = _PARAMETERS_SINCE_5 if version_of(self._program) >= (5, 0) else {}
        self._parameters = {**_PARAMETERS, **newer, **parameters}
        self._clients: list[pymongo.MongoClient] = []
        self.folder = Path(tempfile.mkdtemp(prefix="kp-"))
        keeper().keep_folder(self.folder)
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
        """Connect past all drivers and to this server only. It is closed when the server stops."""
        client = self._connect(**options)
        self._clients.append(client)
        return client

    def ask(self, command: str, value: Any = 1, **arguments: Any) -> dict[str, Any]:
        """Return the server's answer to a command for its administrator."""
        # No client stays: its threads and connections would be in every fork of a test's process.
        with self._connect() as client:
            return client.admin.command(command, value, **arguments)

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()

    def pause(self) -> None:
        """Let it answer nobody, while the kernel still accepts connections for it."""
        self._process.pause()
        self.paused = True

    def resume(self) -> None:
        self._process.resume()
        self.paused = False

    def restart(self) -> None:
        """Start it again where it was and with what it kept."""
        self._process.end()
        self._start()

    def stop(self) -> None:
        """End it for good."""
        for client in self._clients:
            client.close()
        # It has nothing to put in order: the folder goes too.
        self._process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _connect(self, **options: Any) -> pymongo.MongoClient:
        limits = dict.fromkeys(("serverSelectionTimeoutMS", "connectTimeoutMS", "socketTimeoutMS"), _TIMEOUT)
        return pymongo.MongoClient(self.address, **{"directConnection": True, **limits, **options})

    def _arguments(self) -> list[str]:
        """Return what is on its command line, but for its parameters."""
        return ["--port", str(self.port), "--dbpath", str(self.folder), *_ARGUMENTS]

    def _start_first(self) -> None:
        for _ in range(_ATTEMPTS):
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
        first_answer(lambda: not self.runs or self._answers(), why=self._said)
        if not self.runs:
            self._process.kill()
            raise RuntimeError(f"mongod did not start: {self._said()}")

    def _answers(self) -> bool:
        """Tell whether this very server does: another one may have been quicker at its port."""
        with socket.socket() as knocking:
            # A client that knocks too early tries again only after half a second.
            if knocking.connect_ex(("127.0.0.1", self.port)):
                return False
        return self.ask("serverStatus")["pid"] == self.pid

    def _said(self) -> str:
        return self._process.log.read_text(errors="replace")
