"""Flower shows the queues of a pool:// broker, once its configuration imports kombu_pool.contrib.flower."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from celery import Celery
from kombu import Connection

from kombu_pool.errors import KombuPoolError
from tests.support.celery.worker import eventually
from tests.support.servers.ports import free_port
from tests.support.servers.redis_server import Server

APPLICATION = """
from celery import Celery
app = Celery("shop", broker={url!r})
app.conf.broker_transport_options = {{"project": "shop"}}
"""


@pytest.fixture
def server():
    with Server(user=["app on >s3cret ~* &* +@all"]) as server:
        yield server


@pytest.fixture
def url(server):
    return f"pool+redis://app:s3cret@{server.address}/0"


@pytest.fixture
def flower(url, tmp_path):
    """The address of a Flower over the server, and its log."""
    (tmp_path / "shop.py").write_text(APPLICATION.format(url=url))
    (tmp_path / "flowerconfig.py").write_text("import kombu_pool.contrib.flower\n")
    port, log = free_port(), tmp_path / "log"
    path = os.pathsep.join((str(tmp_path), *sys.path))
    environment = {**os.environ, "FLOWER_UNAUTHENTICATED_API": "1", "PYTHONPATH": path}
    command = [sys.executable, "-m", "celery", "-A", "shop", "flower", f"--port={port}", "--address=127.0.0.1"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=output)
    yield f"http://127.0.0.1:{port}", log
    process.kill()
    process.wait()


def get(address):
    """Return the text at an address; "" if nothing answers there."""
    try:
        with urllib.request.urlopen(address, timeout=10) as response:  # noqa: S310 - an address of this test
            return response.read().decode()
    except urllib.error.URLError:
        return ""


@pytest.mark.celery
def test_flower_shows_the_queues_and_no_password(url, flower):
    address, log = flower
    app = Celery("shop", broker=url, set_as_current=False)
    app.conf.broker_transport_options = {"project": "shop"}
    with app.connection_for_write() as connection:
        connection.default_channel.queue_declare("celery")
        for options in ({}, {}, {"countdown": 600}):
            app.send_task("add", (1, 2), connection=connection, **options)

    eventually(lambda: get(f"{address}/broker"), why=log.read_text)

    page = get(f"{address}/broker")
    row = {"name": "celery", "messages": 3, "messages_ready": 2, "messages_unacknowledged": 0, "messages_delayed": 1}
    assert json.loads(get(f"{address}/api/queues/length")) == {"active_queues": [{**row, "consumers": 0}]}
    assert '<tr id="celery">' in page
    assert "s3cret" not in page + log.read_text()


@pytest.mark.celery
def test_a_broker_that_cannot_be_opened_leaves_the_other_one_usable(tmp_path):
    from kombu_pool.contrib.flower import PoolBroker  # noqa: PLC0415 - Flower is there with Celery

    url = f"pool+sqlite:///{tmp_path}/control.db"
    with Connection(url) as connection:
        connection.default_channel.queue_declare("celery")

    def length(of):
        return [row["messages"] for row in asyncio.run(PoolBroker(of).queues(["celery"]))]

    assert length(url) == [0]
    with pytest.raises(KombuPoolError):
        length(f"pool+sqlite:///{tmp_path}/absent/control.db")
    assert length(url) == [0]
    assert PoolBroker._opened_for[0] == url
    PoolBroker._opened = None
    PoolBroker._stack.close()
