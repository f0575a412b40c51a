"""The blocks of the page about the management API, beside a server of their own."""

from __future__ import annotations

import json
import re
import shutil
import signal
import urllib.request
from base64 import b64encode
from contextlib import closing

import pytest

import kombu_pool
from tests.support.docs.pages import blocks
from tests.support.docs.terminal import Terminal
from tests.support.limits import LIMIT
from tests.support.servers.ports import free_port
from tests.support.transport.traffic import eventually
from tests.support.web.addresses import TOKEN


@pytest.fixture
def recipes():
    """The blocks of the page, in order."""
    return [block for (page, _), block in blocks().items() if page == "docs/management-api.md"]


@pytest.fixture
def server(recipes, tmp_path):
    """A terminal in which the server of the first block runs."""
    port = str(free_port())
    terminal = Terminal(tmp_path, {"/var/lib/shop": str(tmp_path), "15680": port, "pool.example": "127.0.0.1"})
    terminal.create("token", TOKEN + "\n")
    kombu_pool.open(f"sqlite:///{tmp_path}/control.db").close()
    start = recipes[0].text.replace(" &", f" --port {port} &")
    terminal.console(type(recipes[0])(recipes[0].page, recipes[0].language, start))
    eventually(lambda: "Serving" in terminal.log(), LIMIT)
    yield terminal
    for process, _ in terminal._workers:
        process.terminate()
        assert process.wait(LIMIT) in {0, -signal.SIGTERM}


@pytest.mark.skipif(not shutil.which("rabbitmqadmin"), reason="RabbitMQ is not installed")
def test_rabbitmqadmin_does_what_the_page_shows(recipes, server):
    assert "queue deleted" in server.console(recipes[1])


def test_the_host_of_a_scaler_leads_to_the_counts_of_its_queue(recipes, server, tmp_path):
    with closing(kombu_pool.open(f"sqlite:///{tmp_path}/control.db")) as store:
        store.queue_controller.create("orders")
        store.message_controller.post("orders", [{"ttl": None, "body": "m"}] * 3, None)
    settings = dict(re.findall(r"^ +(\w+): (\S+)$", server.substitute(recipes[2].text), re.MULTILINE))

    scheme, user, host = re.fullmatch(r"(http)://(\w+):TOKEN@([\d.:]+)/", settings["host"]).groups()
    credentials = b64encode(f"{user}:{TOKEN}".encode()).decode()
    url = f"{scheme}://{host}/api/queues/%2F/{settings['queueName']}"
    request = urllib.request.Request(url, headers={"authorization": f"Basic {credentials}"})  # noqa: S310 - it is http
    with urllib.request.urlopen(request, timeout=LIMIT) as answer:  # noqa: S310
        document = json.load(answer)

    assert (settings["protocol"], document["messages"]) == ("http", 3)
