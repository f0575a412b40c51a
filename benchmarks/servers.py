"""Private servers for the time of a benchmark: on free ports of the loopback interface, in folders of their own.

Each is ended by its own process id. A server that somebody else runs is never used, nor ended.
"""

from __future__ import annotations

import functools
import importlib.util
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
    from collections.abc import Iterator, Mapping, Sequence

HOST = "127.0.0.1"
#: Seconds within which a server listens, and within which it ends when asked to.
PATIENCE = 60.0
#: Debian's ``rabbitmq-server`` in the path changes to a user of its own, who could not write into our folder.
_RABBITMQ, _EPMD = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server"), "epmd"
#: The tests let the environment name another program, too.
_REDIS = (os.environ.get("REDIS_SERVER", ""), "redis-server", "valkey-server")
#: The replica set of a MongoDB, and the database in it.
_SET = _DATABASE = "bench"
#: A primary would wait 15 seconds for its clients to leave before it ends.
_NO_FAREWELL = "shutdownTimeoutMillisForSignaledShutdown=100"


def has_redis() -> bool:
    """Tell whether there is a Redis to run here."""
    return bool(_found(_REDIS))


def has_mongodb() -> bool:
    """Tell whether there is a MongoDB to run here."""
    return bool(_mongod())


def has_rabbitmq() -> bool:
    """Tell whether there is a RabbitMQ to run here."""
    return bool(_found(_RABBITMQ) and shutil.which(_EPMD))


def _found(names: Sequence[str]) -> str:
    """Return the path of the first of these programs that there is, or nothing."""
    return next(filter(None, map(shutil.which, names)), "")


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a Redis that keeps everything in memory alone, and lend its host and port."""
    (port,) = _free_ports(1)
    address = ["--bind", HOST, "--port", str(port), "--dir", str(folder)]
    command = [_found(_REDIS), *address, "--save", "", "--appendonly", "no"]
    with _running(command, folder / f"redis-{port}.log", port):
        yield f"{HOST}:{port}"


def _mongod() -> str:
    """Return the path of a MongoDB server that runs here: from PATH, or else that of a Python package."""
    return next(filter(_runs, [_found(["mongod"]), *_packaged()]), "")


def _packaged() -> Iterator[str]:
    """Yield the path of the server in the package that the extra ``bench`` brings."""
    spec = importlib.util.find_spec("fiftyone")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = Path(folder, "db", "bin", "mongod")
        if program.is_file():
            yield str(program)


@functools.cache
def _runs(program: str) -> bool:
    """Tell whether a program starts: a library that it needs may be missing."""
    try:
        if program and not os.access(program, os.X_OK):
            # A wheel's data files come without the permission.
            Path(program).chmod(0o755)
        return bool(program) and not subprocess.run([program, "--version"], capture_output=True, check=False).returncode
    except OSError:
        return False


@contextmanager
def mongodb(folder: Path) -> Iterator[str]:
    """Run a MongoDB as it comes, a replica set of one that keeps its files in the folder, and lend its URI."""
    (port,) = _free_ports(1)
    (files := folder / f"mongodb-{port}").mkdir()
    address = ["--bind_ip", HOST, "--port", str(port), "--nounixsocket", "--dbpath", str(files)]
    command = [_mongod(), *address, "--replSet", _SET, "--setParameter", _NO_FAREWELL]
    with _running(command, folder / f"mongodb-{port}.log", port):
        _make_primary(port)
        yield f"mongodb://{HOST}:{port}/{_DATABASE}?replicaSet={_SET}"


def _make_primary(port: int) -> None:
    """Make a server the only member of its set, and wait until it takes writes."""
    from pymongo import MongoClient  # noqa: PLC0415 - who asks nothing about MongoDB need not have it

    until = time.monotonic() + PATIENCE
    client: MongoClient[Any] = MongoClient(HOST, port, directConnection=True)
    with client:
        client.admin.command("replSetInitiate", {"_id": _SET, "members": [{"_id": 0, "host": f"{HOST}:{port}"}]})
        while not client.admin.command("hello")["isWritablePrimary"]:
            if time.monotonic() > until:
                raise SystemExit(f"The MongoDB on port {port} does not become a primary")
            time.sleep(0.02)


@contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    """Run a RabbitMQ as it comes, without plugins, and lend its URL."""
    command = [_found(_RABBITMQ)]
    port, dist_port, epmd_port = _free_ports(3)
    names = [_EPMD, "-address", HOST, "-port", str(epmd_port)]
    settings = _rabbitmq_settings(folder, port, dist_port) | {"ERL_EPMD_PORT": str(epmd_port)}
    # Without a name server of our own, Erlang would leave one behind that runs for good.
    with _running(names, folder / "epmd.log", epmd_port), _running(command, folder / "rabbitmq.log", port, settings):
        yield f"amqp://guest:guest@{HOST}:{port}//"


def _rabbitmq_settings(folder: Path, port: int, dist_port: int) -> dict[str, str]:
    """The environment that keeps a RabbitMQ to itself: nothing of the system's is read or written."""
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
    """Name the servers that are here, with their versions."""
    found = []
    if has_redis():
        said = subprocess.run([_found(_REDIS), "--version"], capture_output=True, text=True, check=True).stdout
        found.append(re.sub(r"^(\w+) server v=(\S+).*", r"\1 \2", said.strip()))
    if has_mongodb():
        said = subprocess.run([_mongod(), "--version"], capture_output=True, text=True, check=True).stdout
        found.append(re.sub(r"^db version v(\S+).*", r"MongoDB \1", said.strip(), flags=re.DOTALL))
    if has_rabbitmq():
        version = re.search(r"rabbitmq_server-([\d.]+)", str(Path(_found(_RABBITMQ)).resolve()))
        found.append("RabbitMQ" + (f" {version[1]}" if version else ""))
    return found


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody uses, held together for a moment so that each is another."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def _running(command: Sequence[str], log: Path, port: int, settings: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run a server while the block runs."""
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
    until = time.monotonic() + PATIENCE
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
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
