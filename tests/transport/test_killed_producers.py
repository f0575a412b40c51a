"""Producers killed at any moment: confirmed messages are stored, and no batch is stored in part."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest
from kombu import Producer

from tests.support.transport.traffic import consume, count, declare, eventually

PRODUCERS = 4
#: The size of a batch, which is one post.
SIZE = 20


def all_of(channel, queue):
    """Consume and acknowledge all messages of a queue, of which there are thousands, and return their bodies."""
    stored = count(channel, queue)
    inbox = consume(channel, queue, ack=True)
    inbox.wait_for(stored)
    inbox.expect_no_more()
    return inbox.bodies


@pytest.fixture
def killed(opened, shared_url, programs, tmp_path):
    """Kill producers while they publish: ``killed(size)`` returns the confirmed messages and all stored ones."""

    def killed(size):
        channel = opened(shared_url).channel()
        declare(channel, "q")
        (told := tmp_path / "told").mkdir()
        rng = random.Random(7)  # noqa: S311 - no secret
        records = [told / f"p{number}" for number in range(PRODUCERS)]
        producers = [
            programs.start("produce", url=shared_url, queue="q", name=record.name, size=size, record=str(record))
            for record in records
        ]
        for producer, record in zip(producers, records, strict=True):
            eventually(lambda record=record: record.exists() and record.stat().st_size)
            time.sleep(rng.uniform(0, 0.05))
            producer.kill()
        lines = [line for record in told.iterdir() for line in record.read_text().splitlines()]
        return lines, Counter(all_of(channel, "q"))

    return killed


def test_what_was_published_is_there_and_nothing_twice(killed):
    told, stored = killed(size=1)

    assert set(told) <= set(stored)
    assert set(stored.values()) == {1}
    # The batches whose confirmation was in progress.
    assert len(stored) - len(told) <= PRODUCERS


@pytest.mark.skipif(not hasattr(Producer, "batch"), reason="batches came with Kombu 5.7")
def test_a_batch_is_there_as_a_whole_or_not_at_all(killed):
    told, stored = killed(size=SIZE)

    assert set(told) <= set(stored)
    assert set(stored.values()) == {SIZE}
    assert len(stored) - len(told) <= PRODUCERS
