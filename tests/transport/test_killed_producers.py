"""Producers that are killed at any moment: what they were told is stored is there, and nothing of theirs in half."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest
from kombu import Producer

from tests.support.transport.traffic import declare, eventually, take_all

PRODUCERS = 4
#: A batch goes into its queue in one post.
SIZE = 20


@pytest.fixture
def killed(opened, shared_url, programs, tmp_path):
    """Kill producers in the midst of it: ``killed(size)`` returns what was told, and all there is."""

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
        return lines, Counter(take_all(channel, "q"))

    return killed


def test_what_was_published_is_there_and_nothing_twice(killed):
    told, stored = killed(size=1)

    assert set(told) <= set(stored)
    assert set(stored.values()) == {1}
    # What each was about to be told.
    assert len(stored) - len(told) <= PRODUCERS


@pytest.mark.skipif(not hasattr(Producer, "batch"), reason="batches came with Kombu 5.7")
def test_a_batch_is_there_as_a_whole_or_not_at_all(killed):
    told, stored = killed(size=SIZE)

    assert set(told) <= set(stored)
    assert set(stored.values()) == {SIZE}
    assert len(stored) - len(told) <= PRODUCERS
