"""The streams that refresh open pages, as their server sees them."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from kombu_pool.operator.broker import BrokerUrl, open_broker
from kombu_pool.web import create_app, server
from tests.support.limits import LIMIT
from tests.support.web.shop import post, task


class Stream:
    """A page's stream; ``read`` returns the next event that has a part of a page."""

    def __init__(self, address: str, path: str, **headers: str) -> None:
        self._connection = HTTPConnection(urlsplit(address).netloc, timeout=LIMIT)
        self._connection.request("GET", path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        self.answer = self._connection.getresponse()

    def read(self) -> tuple[str, str] | None:
        """Return the id and the text of the next event; None at the end of the stream."""
        event, lines = "", []
        while line := self.answer.readline().decode():
            if line.startswith("id: "):
                event = line[4:].strip()
            elif line.startswith("data: "):
                lines.append(line[6:])
            elif not line.strip() and lines:
                return event, "".join(lines)
        return None

    def comment(self) -> str:
        """Return the next comment."""
        while not (line := self.answer.readline().decode()).startswith(":"):
            pass
        return line

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def broker(tmp_path):
    with open_broker(BrokerUrl(f"pool+sqlite:///{tmp_path}/control.db"), create=True) as broker:
        broker.store.queue_controller.create("orders", None, broker.project)
        yield broker


@pytest.fixture
def served(broker):
    """Serve the page in a thread; yields its application and its address."""
    app = create_app(broker, every=0.2)
    with server.listen("127.0.0.1", 0) as listener:
        running = server.make(app)
        thread = threading.Thread(target=running.run, args=([listener],))
        thread.start()
        yield app, f"http://127.0.0.1:{listener.getsockname()[1]}", running, thread
        running.should_exit = True
        thread.join(LIMIT)
    assert not thread.is_alive()


def test_a_page_gets_what_has_changed(served, broker):
    _, address, *_ = served
    with closing(Stream(address, "/events/queues")) as stream:
        first = stream.read()
        post(broker, "orders", task("pay", "pay-1"))
        while "1</td>" not in (last := stream.read())[1]:
            pass

    assert 'data-key="orders"' in first[1]
    assert first[0] != last[0]


def test_a_page_that_comes_back_gets_nothing_that_it_has(served):
    _, address, *_ = served
    with closing(Stream(address, "/events/audit")) as stream:
        event, _ = stream.read()
    with closing(Stream(address, "/events/audit", last_event_id=event)) as stream:
        assert stream.comment() == ": same\n"


def test_ten_pages_cost_one_sampling(served):
    app, address, *_ = served
    sampler = app.state.site.sampler.sampler
    taken, begun = [], time.monotonic()
    sampler.subscribe(taken.append)
    streams = [Stream(address, "/events/queues") for _ in range(10)]
    try:
        for stream in streams:
            stream.read()
            stream.read()
        passed = time.monotonic() - begun
    finally:
        for stream in streams:
            stream.close()

    assert 1 <= len(taken) <= passed / 0.2 + 1
    deadline = time.monotonic() + LIMIT
    while app.state.site.streams and time.monotonic() < deadline:
        time.sleep(0.05)
    assert app.state.site.streams == 0


def test_open_pages_do_not_hold_up_a_server_that_stops(served):
    _, address, running, thread = served
    with closing(Stream(address, "/events/queues")) as stream:
        stream.read()
        running.should_exit = True
        while stream.read() is not None:
            pass
        thread.join(LIMIT)

    assert not thread.is_alive()


def test_an_unknown_page_has_no_stream(served):
    _, address, *_ = served
    with closing(Stream(address, "/events/nonsense")) as stream:
        assert stream.answer.status == 404


def test_a_failure_of_a_page_is_part_of_its_stream(served):
    _, address, *_ = served
    with closing(Stream(address, "/events/queue?name=unknown")) as stream:
        assert "does not exist" in stream.read()[1]


def test_a_stream_that_names_no_queue_says_so(served):
    _, address, *_ = served
    with closing(Stream(address, "/events/queue")) as stream:
        assert "&#39;name&#39; is missing" in stream.read()[1]
