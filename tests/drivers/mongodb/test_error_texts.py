"""Errors of MongoDB say what matters: PyMongo's description of the whole deployment is cut off, also as a cause."""

from __future__ import annotations

import logging
import re
import traceback

import pytest

from kombu_pool import drivers
from kombu_pool.errors import ConnectionError  # noqa: A004 - Zaqar's name for it

UNREACHABLE = "mongodb://shop:hunter2@127.0.0.1:1,127.0.0.1:2/shop?replicaSet=rs0&serverSelectionTimeoutMS=1000"


@pytest.fixture
def failure():
    """Return the error of a deployment of which no member answers."""
    store = drivers.open_data(UNREACHABLE)
    with pytest.raises(ConnectionError) as raised:
        store.queue_controller.create("q")
    store.close()
    return raised.value


def test_an_unreachable_deployment_is_one_short_line(failure):
    assert str(failure).endswith("?replicaSet=rs0&serverSelectionTimeoutMS=1000: Connection refused")
    assert len(str(failure)) < 150


def test_the_traceback_has_the_cause_without_the_description_of_the_deployment(failure):
    text = "".join(traceback.format_exception(failure))

    # PyMongo names the members in the order in which they were asked, which nothing decides.
    assert re.search(r"ServerSelectionTimeoutError: 127\.0\.0\.1:[12]: \[Errno 111\] Connection refused", text)
    assert "Topology" not in text
    assert "hunter2" not in text


def test_a_log_record_of_it_is_as_short(failure, caplog):
    logging.getLogger("shop").error("failed", exc_info=failure)

    assert "Topology" not in caplog.text
