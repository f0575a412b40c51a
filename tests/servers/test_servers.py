"""Private Redis servers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from tests.support.limits import LIMIT
from tests.support.servers.process import Process, supervisor
from tests.support.servers.redis_server import Server
from tests.support.servers.redis_tls import TlsServer
from tests.support.servers.waiting import first_answer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server():
    with Server() as server:
        yield server


def connect(uri: str, **options) -> redis.Redis:
    return redis.Redis.from_url(uri, **{"socket_timeout": LIMIT, **options})


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_answers_at_both_addresses(server):
    over_tcp = connect(server.uri(db=3))
    over_socket = connect(server.socket_uri(db=3).replace("redis+socket", "unix"))

    over_tcp.set("key", "value")

    assert over_socket.get("key") == b"value"
    assert server.client(db=3).get("key") == b"value"


def test_it_keeps_nothing_unless_told_to(server):
    server.ask("SET", "key", "value")

    server.restart()

    assert server.ask("GET", "key") is None


def test_killed_it_comes_back_where_it_was_with_what_it_kept():
    with Server(appendonly="yes", appendfsync="always") as server:
        before = server.uri(), server.pid
        server.ask("SET", "key", "value")
        server.kill()
        assert not server.runs

        server.restart()

        assert server.ask("GET", "key") == b"value"
        assert (server.uri(), server.pid) != before
        assert server.uri() == before[0]


def test_paused_it_answers_nobody_until_it_is_resumed(server):
    client = connect(server.uri(), socket_timeout=0.1, retry=None)
    server.pause()
    with pytest.raises(redis.TimeoutError):
        client.ping()

    server.resume()

    assert first_answer(client.ping)


def test_a_paused_one_can_be_stopped():
    server = Server()
    server.pause()

    server.stop()

    assert not server.runs


def test_stopped_it_leaves_nothing_behind():
    server = Server(appendonly="yes")

    server.stop()

    assert not is_open(server.port)
    assert not server.folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_it_outlives_no_killed_test_process():
    program = (
        "import sys; from tests.support.servers.redis_server import Server; server = Server();"
        "print(server.port, server.folder, flush=True); sys.stdin.read()"
    )
    command, environment = [sys.executable, "-c", program], {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdin=-1, stdout=-1, text=True) as tests:
        port, folder = tests.stdout.readline().split()
        assert is_open(int(port))

        tests.kill()

    first_answer(lambda: not is_open(int(port)))
    first_answer(lambda: not Path(folder).exists())


def test_it_says_why_it_does_not_start():
    with pytest.raises(RuntimeError, match="Bad directive"):
        Server(no_such_option=1)


def test_it_takes_another_port_where_another_process_was_quicker(monkeypatch, server):
    ports = iter([server.port, server.port + 1])
    monkeypatch.setattr("tests.support.servers.redis_server.free_port", lambda: next(ports))

    with Server() as other:
        assert other.port == server.port + 1


def test_an_option_may_have_several_lines():
    with Server(user=["one on nopass ~* +@all", "two on nopass ~* +@all"]) as server:
        assert {"one", "two"} < set(server.ask("ACL USERS"))


def test_a_secured_server_admits_only_clients_with_the_password():
    with TlsServer() as server:
        assert connect(server.uri(db=2)).ping()
        assert connect(server.socket_uri().replace("redis+socket", "unix")).ping()
        assert server.ask("ACL WHOAMI") == server.user
        with pytest.raises(redis.AuthenticationError):
            connect(server.wrong_password_uri()).ping()
        with pytest.raises(redis.ConnectionError):
            connect(f"redis://{server.user}:{server.password}@{server.address}", retry=None).ping()


def test_a_process_that_will_not_end_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.support.servers.process._TERMINATE_TIMEOUT", 0.1)
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
    process = Process([sys.executable, "-c", program], tmp_path, tmp_path / "log")
    first_answer(lambda: "ready" in process.log.read_text())

    process.end()

    assert not process.runs


def test_a_fork_that_ends_leaves_the_servers_alone(server):
    child = os.fork()
    if not child:
        supervisor().close()
        os._exit(0)
    os.waitpid(child, 0)

    assert server.ask("PING")
