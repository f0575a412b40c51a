"""Records whose times are no finite numbers: they are corrupt, and block nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from kombu_pool import errors
from kombu_pool.storage import UNREADABLE_QUEUE
from kombu_pool.testing.handles import QueueHandle, bodies

if TYPE_CHECKING:
    from kombu_pool.testing.backend import Backend
    from kombu_pool.testing.fixtures import MakeQueue

TIMES = [(math.nan, 0), (math.inf, 0), (-math.inf, 60), (0, math.nan), (0, math.inf), (math.nan, math.nan)]


@pytest.mark.parametrize(("created", "ttl"), TIMES)
def test_a_record_of_impossible_times_is_set_aside(
    backend: Backend, queues: MakeQueue, created: float, ttl: float
) -> None:
    queue = queues("queue without dlq")
    queue.post("a")
    backend.set_times(queue.name, queue.post("b")[0], created=created, ttl=ttl)
    queue.post("c")

    assert bodies(queue.claim()) == ["a", "c"]
    (message,) = QueueHandle(backend.driver, UNREADABLE_QUEUE, None).page()[0]
    assert isinstance(message["body"]["record"], bytes)
    assert "ttl" in message["body"]["error"]
    assert (message["dead_letter"]["queue"], message["dead_letter"]["reason"]) == (queue.name, "unreadable")
    assert math.isfinite(message["ttl"])
    assert queue.stats()["total"] == 2


def test_a_record_of_impossible_times_goes_to_the_dead_letter_queue(
    backend: Backend, origin: QueueHandle, dlq: QueueHandle
) -> None:
    backend.set_times(origin.name, origin.post("a")[0], created=math.nan, ttl=math.inf)
    origin.post("b")

    assert bodies(origin.claim()) == ["b"]
    assert [message["dead_letter"]["reason"] for message in dlq.page()[0]] == ["unreadable"]
    assert dlq.claim().messages[0]["age"] == 0


def test_a_record_of_impossible_times_stops_no_pop_and_no_claim_by_id(backend: Backend, queues: MakeQueue) -> None:
    queue = queues("queue without dlq")
    posted = [*queue.post("a"), *queue.post("b"), *queue.post("c")]
    backend.set_times(queue.name, posted[0], created=math.inf, ttl=0)

    assert bodies(queue.claim_by_id(posted[:2])) == ["b"]
    assert bodies(queue.pop()) == ["c"]


def test_reading_a_record_of_impossible_times_says_so(backend: Backend, queue: QueueHandle) -> None:
    (message_id,) = queue.post("a")
    backend.set_times(queue.name, message_id, created=math.nan, ttl=0)

    with pytest.raises(errors.CorruptRecord, match="the time of its post"):
        queue.get(message_id)
    queue.delete(message_id)
    assert queue.stats()["total"] == 0
