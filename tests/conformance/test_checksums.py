"""The option ``enable_checksum`` of each store. Not part of the shipped suite: another driver need not have it."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing

import pytest

from kombu_pool import drivers
from kombu_pool.testing import QueueHandle
from tests.support.conformance.stores import STORES


@pytest.fixture(params=["memory", "sqlite", "redis", "mongodb"])
def uri(request, tmp_path):
    return STORES[request.param].uri(tmp_path, "store")


@pytest.fixture
def queue(uri):
    with closing(drivers.open_data(uri, options={"enable_checksum": True})) as driver:
        queue = QueueHandle(driver, "queue", None)
        queue.create()
        yield queue


@pytest.mark.parametrize("body", [{"b": [1, "ä"], "a": None}, "text", 0, {}])
def test_a_message_read_by_its_id_shows_the_checksum_of_its_json(queue, body):
    (message,) = queue.post(body)

    digest = hashlib.md5(json.dumps(body).encode(), usedforsecurity=False).hexdigest()
    assert queue.get(message)["checksum"] == f"MD5:{digest}"


def test_bytes_are_base64_in_that_json(queue):
    ours, same = queue.post({"data": b"\xff\x00"}, {"data": "/wA="})

    assert queue.get(ours)["checksum"] == queue.get(same)["checksum"]


def test_no_body_has_no_checksum(queue):
    (message,) = queue.post(None)

    assert queue.get(message)["checksum"] == ""


def test_no_checksum_is_shown_unless_asked_for(uri):
    with closing(drivers.open_data(uri)) as driver:
        queue = QueueHandle(driver, "queue", None)
        queue.create()
        (message,) = queue.post("a")

        assert "checksum" not in queue.get(message)
