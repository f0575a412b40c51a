"""A private RabbitMQ, the peer that shows what an AMQP broker does."""

from __future__ import annotations

import functools
import os
import shutil
import socket
from pathlib import Path

from tests.support.servers.folders import new_folder
from tests.support.servers.ports import free_port
from tests.support.servers.process import Process
from tests.support.servers.waiting import first_answer

# Debian's program on PATH is a wrapper that changes the user, the folder and the logs.
_DEBIAN = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_MANAGEMENT = "management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {}\ncollect_statistics_interval = 1000\n"


def program() -> str | None:
    """Return the path of RabbitMQ's program; None where it is not installed."""
    return str(_DEBIAN) if _DEBIAN.exists() else shutil.which("rabbitmq-server")


class RabbitMQ:
    """A broker with ports, a node name and a folder of its own. The constructor starts it.

    Without ``management`` it has no plugins; with it, its HTTP API has a port, and new statistics each second.
    """

    def __init__(self, *, management: bool = False) -> None:
        self.folder = new_folder()
        self.port, distribution, names = free_port(), free_port(), free_port()
        self.management_port = free_port() if management else 0
        (self.folder / "rabbitmq.conf").write_text(_MANAGEMENT.format(self.management_port) if management else "")
        (self.folder / "plugins").write_text("[rabbitmq_management]." if management else "[].")
        # Erlang starts a daemon for the names of nodes unless one answers; the daemon would outlive the test.
        self._names = Process(
            ["epmd", "-port", str(names), "-address", "127.0.0.1"], self.folder, self.folder / "names"
        )
        first_answer(lambda: _listens(names))
        self._process = Process(
            ["env", *self._environment(distribution, names), str(program())], self.folder, self.folder / "log"
        )
        for port in filter(None, (self.port, self.management_port)):
            first_answer(lambda port=port: not self._process.runs or _listens(port), why=self._log_text)
        if not self._process.runs:
            raise RuntimeError(f"RabbitMQ did not start: {self._log_text()}")

    @property
    def url(self) -> str:
        return f"pyamqp://guest:guest@127.0.0.1:{self.port}//"

    def stop(self) -> None:
        """End the broker and delete its folder."""
        self._process.end()
        self._names.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _environment(self, distribution: int, names: int) -> list[str]:
        values = {
            "HOME": self.folder,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": names,
            "RABBITMQ_NODENAME": f"kombu-pool-{os.getpid()}-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": self.port,
            "RABBITMQ_DIST_PORT": distribution,
            "RABBITMQ_MNESIA_BASE": self.folder / "mnesia",
            "RABBITMQ_LOG_BASE": self.folder / "logs",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": self.folder / "rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.folder / "plugins",
            # The script then becomes the broker, and does not run it as a child that outlives a kill.
            "RUNNING_UNDER_SYSTEMD": "yes",
        }
        return [f"{name}={value}" for name, value in values.items()]

    def _log_text(self) -> str:
        return self._process.log.read_text(errors="replace")


@functools.cache
def shared_broker(*, management: bool = False) -> RabbitMQ:
    """Return the shared broker of this process, which no test may stop."""
    return RabbitMQ(management=management)


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
