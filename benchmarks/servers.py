"""Private servers for a benchmark, on free ports of the loopback interface and in their own folders.

Each server is ended by its process id. Servers that are already running are neither used nor ended.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

HOST = "127.0.0.1"
#: Timeout of the start of a server, in seconds.
START_TIMEOUT = 60.0
#: Timeout of SIGTERM before SIGKILL, in seconds.
TERMINATE_TIMEOUT = 60.0
#: Debian's ``rabbitmq-server`` on PATH changes to another user, which cannot write to the folder.
_RABBITMQ, _EPMD = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server"), "epmd"
#: ``REDIS_SERVER`` names another program, as in the tests.
_REDIS = (os.environ.get("REDIS_SERVER", ""), "redis-server", "valkey-server")
#: Name of the MongoDB replica set and of its database.
_SET = _DATABASE = "bench"
#: Without this, a primary waits 15 s for its clients before it ends.
_FAST_SHUTDOWN = "shutdownTimeoutMillisForSignaledShutdown=100"
#: Returns the port of the server that a quick run shares; empty in a full run, where each measurement has a new server.
_shared: list[Callable[[], int]] = []
#: Numbers of the databases on a shared server.
_numbers = itertools.count(1)


def has_redis() -> bool:
    """Return whether a Redis server is installed."""
    return bool(_which(_REDIS))


def has_mongodb() -> bool:
    """Return whether a MongoDB server is installed and runs."""
    return bool(_mongod())


def has_rabbitmq() -> bool:
    """Return whether a RabbitMQ server is installed."""
    return bool(_which(_RABBITMQ) and shutil.which(_EPMD))


def _which(names: Sequence[str]) -> str:
    """Return the path of the first of these programs that is installed; an empty text if none is."""
    return next(filter(None, map(shutil.which, names)), "")


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a Redis server without persistence, and yield its host and port."""
    (port,) = _free_ports(1)
    address = ["--bind", HOST, "--port", str(port), "--dir", str(folder)]
    command = [_which(_REDIS), *address, "--save", "", "--appendonly", "no"]
    with _running(command, folder / f"redis-{port}.log", port):
        yield f"{HOST}:{port}"


def _mongod() -> str:
    """Return the path of a MongoDB server that runs, from PATH or from a Python package."""
    return next(filter(_runs, [_which(["mongod"]), *_packaged()]), "")


def _packaged() -> Iterator[str]:
    """Yield the path of the server in the package of the extra ``bench``."""
    spec = importlib.util.find_spec("fiftyone")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = Path(folder, "db", "bin", "mongod")
        if program.is_file():
            yield str(program)


@functools.cache
def _runs(program: str) -> bool:
    """Return whether a program starts: a library that it needs may be missing."""
    try:
        if program and not os.access(program, os.X_OK):
            # The data files of a wheel are not executable.
            Path(program).chmod(0o755)
        return bool(program) and not subprocess.run([program, "--version"], capture_output=True, check=False).returncode
    except OSError:
        return False


@contextmanager
def mongodb(folder: Path) -> Iterator[str]:
    """Yield the URI of a private MongoDB server, or of a new database on the one of :func:`shared_mongodb`."""
    if _shared:
        yield _uri_of(_shared[-1](), f"{_DATABASE}{next(_numbers)}")
        return
    with _private_mongodb(folder) as port:
        yield _uri_of(port, _DATABASE)


@contextmanager
def shared_mongodb(folder: Path) -> Iterator[None]:
    """Let all benchmarks within this context use one MongoDB server, which starts with the first of them."""
    with ExitStack() as stack:
        start = functools.cache(lambda: stack.enter_context(_private_mongodb(folder)))
        _shared.append(start)
        stack.callback(_shared.remove, start)
        yield


@contextmanager
def _private_mongodb(folder: Path) -> Iterator[int]:
    """Run a MongoDB server with default settings, as a replica set of one member, and yield its port."""
    (port,) = _free_ports(1)
    (files := folder / f"mongodb-{port}").mkdir()
    address = ["--bind_ip", HOST, "--port", str(port), "--nounixsocket", "--dbpath", str(files)]
    command = [_mongod(), *address, "--replSet", _SET, "--setParameter", _FAST_SHUTDOWN]
    with _running(command, folder / f"mongodb-{port}.log", port):
        _make_primary(port)
        yield port


def _uri_of(port: int, database: str) -> str:
    return f"mongodb://{HOST}:{port}/{database}?replicaSet={_SET}"


def _make_primary(port: int) -> None:
    """Make a server the only member of its set, and wait until it is the primary."""
    from pymongo import MongoClient  # noqa: PLC0415 - only needed for MongoDB

    until = time.monotonic() + START_TIMEOUT
    client: MongoClient[Any] = MongoClient(HOST, port, directConnection=True)
    with client:
        client.admin.command("replSetInitiate", {"_id": _SET, "members": [{"_id": 0, "host": f"{HOST}:{port}"}]})
        while not client.admin.command("hello")["isWritablePrimary"]:
            if time.monotonic() > until:
                raise SystemExit(f"The MongoDB server on port {port} did not become the primary")
            time.sleep(0.02)


@contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    """Run a RabbitMQ server with default settings and no plugins, and yield its URL."""
    command = [_which(_RABBITMQ)]
    port, dist_port, epmd_port = _free_ports(3)
    names = [_EPMD, "-address", HOST, "-port", str(epmd_port)]
    settings = _rabbitmq_settings(folder, port, dist_port) | {"ERL_EPMD_PORT": str(epmd_port)}
    # Without a private name server, Erlang would start one that keeps running.
    with _running(names, folder / "epmd.log", epmd_port), _running(command, folder / "rabbitmq.log", port, settings):
        yield f"amqp://guest:guest@{HOST}:{port}//"


def _rabbitmq_settings(folder: Path, port: int, dist_port: int) -> dict[str, str]:
    """Return the environment with which a RabbitMQ server reads and writes only its own folder."""
    (folder / "rabbitmq.conf").touch()
    (folder / "plugins").write_text("[].\n")
    names = {
        "CONF_ENV_FILE": "no-rabbitmq-env.conf",
        "CONFIG_FILE": "rabbitmq.conf",
        "ENABLED_PLUGINS_FILE": "plugins",
        "GENERATED_CONFIG_DIR": "generated",
        "LOG_BASE": "log",
        "MNESIA_BASE": "mnesia",
        "PID_FILE": "rabbitmq.pid",
    }
    return {
        "HOME": str(folder),
        "ERL_EPMD_ADDRESS": HOST,
        "RABBITMQ_NODENAME": f"bench{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": HOST,
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(dist_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        **{f"RABBITMQ_{name}": str(folder / file) for name, file in names.items()},
    }


def versions() -> list[str]:
    """Return the installed servers with their versions."""
    found = []
    if has_redis():
        output = subprocess.run([_which(_REDIS), "--version"], capture_output=True, text=True, check=True).stdout
        found.append(re.sub(r"^(\w+) server v=(\S+).*", r"\1 \2", output.strip()))
    if has_mongodb():
        output = subprocess.run([_mongod(), "--version"], capture_output=True, text=True, check=True).stdout
        found.append(re.sub(r"^db version v(\S+).*", r"MongoDB \1", output.strip(), flags=re.DOTALL))
    if has_rabbitmq():
        version = re.search(r"rabbitmq_server-([\d.]+)", str(Path(_which(_RABBITMQ)).resolve()))
        found.append("RabbitMQ" + (f" {version[1]}" if version else ""))
    return found


def _free_ports(count: int) -> list[int]:
    """Return different free ports."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def _running(command: Sequence[str], log: Path, port: int, settings: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run a server within this context."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **(settings or {})},
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_until_it_listens(process, port, log)
        yield
    finally:
        _end(process)


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + START_TIMEOUT
    while not _listens(port):
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"{log.stem} does not listen on port {port}:\n{log.read_text()}")
        time.sleep(0.02)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(TERMINATE_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
