"""How a repeated post is recognised, and the cost of that."""

from __future__ import annotations

from functools import partial

import pytest
from pymongo.errors import AutoReconnect

from kombu_pool import drivers
from kombu_pool.drivers.mongodb.client import Client
from kombu_pool.drivers.mongodb.codec import IDEMPOTENCY_RECORD
from kombu_pool.drivers.mongodb.idempotency import ProducerSessions
from kombu_pool.model import IdempotencyKey
from kombu_pool.storage import IDEMPOTENCY_WINDOW
from kombu_pool.testing import QueueHandle
from tests.support.mongodb.failures import Died, die
from tests.support.servers import mongodb

FIRST = IdempotencyKey(b"me", 1)


@pytest.fixture(params=[{}, {"_max_length": 10, "_overflow": "reject-publish"}], ids=["plain", "bounded"])
def on_standalone(request, clock):
    """A queue on a server without transactions."""
    driver = drivers.open_data(mongodb.fresh_standalone_uri(), clock=clock)
    queue = QueueHandle(driver, "queue", None)
    queue.create(**request.param)
    yield queue
    driver.close()


@pytest.mark.usefixtures("long_cache")
def test_a_post_takes_no_more_round_trips_for_it(queue, round_trips):
    queue.post("warm", idempotency_key=IdempotencyKey(b"me", 1))
    # The server runs commands of its own at times.
    plain = min(round_trips(lambda: queue.post("a")) for _ in range(3))
    posts = [partial(queue.post, "b", idempotency_key=IdempotencyKey(b"me", number)) for number in (2, 3, 4)]
    with_key = min(round_trips(post) for post in posts)

    assert with_key == plain


def test_posts_of_many_posters_take_one_session_of_the_client(driver, queue):
    writer = driver.message_controller._writer
    for number in range(50):
        queue.post("a", idempotency_key=IdempotencyKey(b"%d" % number, 1))

    assert len(writer._sessions._idle) <= 1


@pytest.mark.parametrize("metadata", [{}, {"_dead_letter_queue": "dead", "_dead_letter_expired": True}])
def test_a_receipt_goes_when_its_time_is_over(driver, clock, database, metadata):
    queue = QueueHandle(driver, "q", None)
    queue.create(**metadata)
    queue.post("a", "b", idempotency_key=FIRST)
    queue.delete_all([message["id"] for message in queue.page()[0]])
    records = partial(database["kombu_pool_messages"].count_documents, {"s": IDEMPOTENCY_RECORD})
    assert records() == 1

    clock.advance(IDEMPOTENCY_WINDOW + 1)
    driver.gc()

    assert records() == 0


def test_it_is_known_to_a_server_that_does_not_say_so(queue, monkeypatch):
    monkeypatch.setattr(Client, "reports_retries", False)
    first = queue.post("a", idempotency_key=FIRST)
    waiting = queue.post("a", idempotency_key=FIRST)
    queue.delete_all(first)

    consumed = queue.post("a", idempotency_key=FIRST)
    other = queue.post("b", idempotency_key=IdempotencyKey(b"me", 2))

    assert first == waiting == consumed
    assert queue.all() == ["b"]
    assert [message["id"] for message in queue.page()[0]] == other


def test_a_receipt_is_no_message(queue):
    queue.post("a", "b", idempotency_key=FIRST)

    assert queue.all() == ["a", "b"]
    assert queue.stats()["total"] == 2
    assert queue.count() == 2
    assert queue.purge() == 2


def test_a_post_of_many_that_was_given_up_before_it_was_whole_is_made_again(on_standalone, monkeypatch):
    writer = on_standalone.driver.message_controller._writer
    monkeypatch.setattr(writer, "_insert_record", die)
    with pytest.raises(Died):
        on_standalone.post("a", "b", idempotency_key=FIRST)
    monkeypatch.undo()

    on_standalone.post("a", "b", idempotency_key=FIRST)

    assert on_standalone.free() == ["a", "b"]


def test_a_post_of_many_that_was_whole_is_shown_when_it_is_made_again(on_standalone, monkeypatch):
    writer = on_standalone.driver.message_controller._writer
    monkeypatch.setattr(writer, "make_visible", die)
    with pytest.raises(Died):
        on_standalone.post("a", "b", idempotency_key=FIRST)
    monkeypatch.undo()
    assert on_standalone.free() == []

    again = on_standalone.post("a", "b", idempotency_key=FIRST)

    assert on_standalone.free() == ["a", "b"]
    assert [message["id"] for message in on_standalone.page()[0]] == again


@pytest.mark.parametrize("later", [121, IDEMPOTENCY_WINDOW + 1])
def test_a_post_of_many_that_was_whole_is_shown_by_the_collector_too(on_standalone, clock, monkeypatch, later):
    monkeypatch.setattr(on_standalone.driver.message_controller._writer, "make_visible", die)
    with pytest.raises(Died):
        on_standalone.post("a", "b", idempotency_key=FIRST)
    monkeypatch.undo()

    clock.advance(later)
    on_standalone.driver.gc()

    assert on_standalone.free() == ["a", "b"]


def test_a_lost_connection_is_tried_once_more(monkeypatch):
    driver = drivers.open_data(mongodb.fresh_uri())
    queue = QueueHandle(driver, "queue", None)
    queue.create()
    write, lost = ProducerSessions._write, []

    def lossy(*arguments):
        answer = write(*arguments)
        if not lost:
            lost.append(answer)
            raise AutoReconnect("its answer got lost")
        return answer

    monkeypatch.setattr(ProducerSessions, "_write", lossy)
    ids = queue.post("a", idempotency_key=FIRST)

    assert [message["id"] for message in queue.page()[0]] == ids
    driver.close()
