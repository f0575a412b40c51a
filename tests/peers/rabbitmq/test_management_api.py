"""RabbitMQ's own ``rabbitmqadmin``, unmodified, against RabbitMQ and against ours: the same commands, the same answers.

The texts of refusals differ: ours say more. RabbitMQ predeclares two exchanges more.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

import kombu_pool
from tests.support.limits import LIMIT
from tests.support.servers import rabbitmq
from tests.support.transport.traffic import eventually
from tests.support.web.addresses import TOKEN
from tests.support.web.site import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(
    not rabbitmq.program() or not shutil.which("rabbitmqadmin"), reason="RabbitMQ is not installed"
)

#: The exchanges of RabbitMQ that are not ours.
THEIRS = {"amq.match", "amq.rabbitmq.trace"}
DECLARED = ("name", "vhost", "durable", "auto_delete", "exclusive", "arguments", "type", "state")


class Admin:
    """``rabbitmqadmin`` against one server."""

    def __init__(self, port: int, password: str) -> None:
        self._program = ["rabbitmqadmin", f"--port={port}", "--username=guest", f"--password={password}"]

    def run(self, *arguments: str, vhost: str = "/") -> tuple[int, str]:
        """Return how a command ends, and what it prints unless it fails."""
        done = subprocess.run(
            [*self._program, f"--vhost={vhost}", *arguments], capture_output=True, text=True, timeout=LIMIT, check=False
        )
        return done.returncode, done.stdout if done.returncode == 0 else ""

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the objects that a command lists."""
        code, printed = self.run("--format=raw_json", *arguments)
        assert code == 0, arguments
        found: list[dict[str, Any]] = json.loads(printed)
        return found


@pytest.fixture(scope="module")
def theirs() -> Admin:
    return Admin(rabbitmq.shared_broker(management=True).management_port, "guest")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    folder = tmp_path_factory.mktemp("web")
    (folder / "token").write_text(TOKEN)
    kombu_pool.open(f"sqlite:///{folder}/control.db").close()
    with serving(f"pool+sqlite:///{folder}/control.db", "--token-file", str(folder / "token")) as address:
        yield Admin(int(address.strip("/").rpartition(":")[2]), TOKEN)


def both(theirs: Admin, ours: Admin, *arguments: str) -> tuple[int, str]:
    """Run a command against both, which must end and print alike; return how."""
    expected, answer = theirs.run(*arguments), ours.run(*arguments)
    assert answer == expected, arguments
    return answer


def test_queues_and_messages_are_the_same_to_rabbitmqadmin(theirs: Admin, ours: Admin) -> None:
    def same(*arguments: str) -> tuple[int, str]:
        return both(theirs, ours, *arguments)

    declaration = ("declare", "queue", "name=orders")
    assert same("list", "queues") == (0, "No items\n")
    assert same(*declaration, 'arguments={"x-max-priority":5}') == (0, "queue declared\n")
    assert same(*declaration, 'arguments={"x-max-priority":5}') == (0, "queue declared\n")
    assert same(*declaration)[0] == 1
    assert same(*declaration, 'arguments={"x-max-priority":5}', "durable=false")[0] == 1
    assert same("declare", "queue", "name=a b/c%2F")[0] == 0
    assert same("list", "queues", "name", "vhost", "durable", "auto_delete", "exclusive", "type")[0] == 0
    eventually(lambda: all("state" in queue for queue in theirs.listed("list", "queues")), LIMIT)
    columns = [{name: queue[name] for name in DECLARED} for queue in theirs.listed("list", "queues")]
    assert [{name: queue[name] for name in DECLARED} for queue in ours.listed("list", "queues")] == columns

    assert same("publish", "routing_key=orders", "payload=hello") == (0, "Message published\n")
    properties = '{"priority":3,"headers":{"a":1,"b":[true,"x"]},"content_type":"text/plain","message_id":"m1"}'
    assert same("publish", "routing_key=orders", "payload=first", f"properties={properties}")[0] == 0
    assert same("publish", "routing_key=orders", "payload=/wA=", "payload_encoding=base64")[0] == 0
    assert same("publish", "routing_key=nosuch", "payload=m") == (0, "Message published but NOT routed\n")
    assert same("publish", "exchange=nosuch", "routing_key=orders", "payload=m")[0] == 1
    assert "first" in same("get", "queue=orders", "count=5")[1]
    assert same("--format=raw_json", "--depth=5", "get", "queue=nosuch")[0] == 1
    assert [message["redelivered"] for message in ours.listed("get", "queue=orders", "count=3")] == [False] * 3
    taken = [
        [
            {**message, "redelivered": None}
            for message in admin.listed("get", "queue=orders", "count=2", f"ackmode={mode}")
        ]
        for mode in ("ack_requeue_true", "ack_requeue_false")
        for admin in (theirs, ours)
    ]
    assert taken[0] == taken[1] == taken[2] == taken[3]
    assert [message["message_count"] for message in taken[0]] == [2, 1]

    for admin in (theirs, ours):
        eventually(lambda admin=admin: admin.listed("list", "queues", "name", "messages")[1]["messages"] == 1, LIMIT)
    assert same("list", "queues", "name", "messages", "messages_ready", "messages_unacknowledged")[0] == 0
    assert same("show", "overview", "object_totals.queues", "queue_totals.messages")[0] == 0
    assert same("--sort=name", "--sort-reverse", "list", "queues", "name")[0] == 0
    assert same("purge", "queue", "name=orders") == (0, "queue purged\n")
    assert same("purge", "queue", "name=nosuch")[0] == 1
    assert same("get", "queue=orders") == (0, "No items\n")
    for queue in ("orders", "a b/c%2F"):
        assert same("delete", "queue", f"name={queue}") == (0, "queue deleted\n")
    assert same("delete", "queue", "name=orders")[0] == 1
    assert same("list", "queues")[1] == "No items\n"


def test_exchanges_and_bindings_are_the_same_to_rabbitmqadmin(theirs: Admin, ours: Admin) -> None:
    def same(*arguments: str) -> tuple[int, str]:
        return both(theirs, ours, *arguments)

    same("declare", "queue", "name=events.all")
    assert same("declare", "exchange", "name=events", "type=topic") == (0, "exchange declared\n")
    assert same("declare", "exchange", "name=events", "type=direct")[0] == 1
    assert same("declare", "exchange", "name=copies", "type=fanout")[0] == 0
    assert same("declare", "exchange", "name=bad", "type=silly")[0] == 1
    assert same("declare", "exchange", "name=amq.mine", "type=direct")[0] == 1
    binding = ("declare", "binding", "source=events")
    assert same(*binding, "destination=events.all", "routing_key=a.#") == (0, "binding declared\n")
    assert same(*binding, "destination=copies", "destination_type=exchange", "routing_key=b c~")[0] == 0
    assert same(*binding, "destination=nosuch")[0] == 1

    assert same("--format=long", "list", "bindings")[1].count("source: ") == 3
    keys = [sorted(each["properties_key"] for each in admin.listed("list", "bindings")) for admin in (theirs, ours)]
    assert keys == [["a.%23", "b+c%7E", "events.all"]] * 2
    expected = [each for each in theirs.listed("list", "exchanges", "name", "type") if each["name"] not in THEIRS]
    assert ours.listed("list", "exchanges", "name", "type") == expected
    assert same("publish", "exchange=events", "routing_key=a.b.c", "payload=m") == (0, "Message published\n")
    assert "a.b.c" in same("get", "queue=events.all", "ackmode=ack_requeue_false")[1]

    removal = ("delete", "binding", "source=events")
    key = "properties_key=b+c%7E"
    assert same(*removal, "destination=copies", "destination_type=exchange", key) == (0, "binding deleted\n")
    assert same(*removal, "destination=events.all", "destination_type=queue", "properties_key=nosuch")[0] == 1
    for exchange in ("events", "copies"):
        assert same("delete", "exchange", f"name={exchange}") == (0, "exchange deleted\n")
    assert same("delete", "exchange", "name=amq.direct")[0] == 1
    same("delete", "queue", "name=events.all")
    assert same("list", "bindings")[1] == "No items\n"


def test_lists_that_are_empty_or_refused_are_the_same_to_rabbitmqadmin(theirs: Admin, ours: Admin) -> None:
    for listed in ("consumers", "connections", "channels"):
        assert both(theirs, ours, "list", listed) == (0, "No items\n")
    assert both(theirs, ours, "list", "vhosts", "name")[0] == 0
    assert theirs.run("list", "queues", vhost="nosuch") == ours.run("list", "queues", vhost="nosuch") == (1, "")
    assert both(theirs, ours, "show", "overview", "rabbitmq_version", "management_version")[0] == 0
    assert ours.listed("list", "nodes", "name", "type", "running") == [
        {"name": "default", "type": "disc", "running": True}
    ]
    for admin in (theirs, ours):
        wrong = Admin(0, "wrong")
        wrong._program = [*admin._program[:-1], "--password=wrong"]
        assert wrong.run("list", "queues") == (1, "")
