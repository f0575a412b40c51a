"""What ends a command is one line: what failed, on what, and what to do, without a password and without a traceback."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from kombu import Connection

from kombu_pool.cli import main
from tests.support.servers.redis_shared import shared_server

DOWN = "mongodb://shop:hunter2@127.0.0.1:1,127.0.0.1:2/shop?replicaSet=rs0&serverSelectionTimeoutMS=200"


def said_of(*arguments):
    """Return the one line of a command that fails."""
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 1, ended.output
    assert not isinstance(ended.exception, Exception), ended.exception
    (line,) = ended.output.splitlines()
    assert "hunter2" not in line
    assert len(line) < 300
    return line


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("carrier://shop:hunter2@h", ["No such transport: carrier"]),
        ("pool+reddis://:hunter2@h/0", ["did you mean redis://?"]),
        ("redis://:hunter2@h/0", ["is not a pool:// broker; did you forget -A?"]),
        ("pool+redis://:hunter2@127.0.0.1:1/0", ["redis://:**@127.0.0.1:1/0: Connection refused"]),
        ("pool+redis://:hunter2@h:p/0", ["'h:p' is not HOST or HOST:PORT"]),
        (f"pool+{DOWN}", ["shop:**@127.0.0.1:1,127.0.0.1:2", ": Connection refused"]),
        ("pool+sqlite:////absent/broker.db", ["does not exist", "creates it"]),
    ],
)
def test_a_broker_that_cannot_be_opened_is_one_line(url, words):
    line = said_of("-b", url, "queues")

    assert [word for word in words if word not in line] == []


def test_a_wrong_password_is_one_line():
    line = said_of("-b", f"pool+redis://shop:hunter2@{shared_server().address}/0", "queues")

    assert "invalid username-password pair" in line


def test_a_folder_that_cannot_be_made_is_one_line():
    line = said_of("-b", "pool+sqlite:////proc/shop/broker.db", "add", "main", "memory://x")

    assert "the folder /proc/shop cannot be made by the user" in line


def test_a_mongodb_that_is_down_is_short_in_the_health_of_the_pools(tmp_path):
    broker = f"pool+sqlite:///{tmp_path}/control.db"
    with Connection(broker, transport_options={"pools": [{"name": "m", "uri": DOWN}]}) as connection:
        connection.connect()

    ended = CliRunner().invoke(main, ["-b", broker, "health", "--timeout", "5", "--json"])

    assert ended.exit_code == 1, ended.output
    assert "Connection refused" in ended.output
    assert "opology" not in ended.output
    assert "hunter2" not in ended.output
