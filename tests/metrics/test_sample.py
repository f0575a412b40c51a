"""A sample is small, is read as it was written, and keeps a bounded history."""

from __future__ import annotations

import math
import random
import zlib
from dataclasses import replace

import pytest

from kombu_pool import codec
from kombu_pool.errors import CorruptRecord
from kombu_pool.metrics.history import History
from kombu_pool.metrics.sample import Sample, decode, encode
from kombu_pool.operator.moves import MoveRow
from kombu_pool.operator.pools import PoolHealth
from kombu_pool.operator.queues import QueueReport, QueueRow

NAMES = ("published", "delivered", "redelivered", "acked", "rejected", "lost_claims", "dead_lettered:expired")


def sample_of(count, at=1000.0, **attributes):
    numbers = random.Random(count)  # noqa: S311 - no secret
    rows, counters = [], {}
    for n in range(count):
        queue = f"department-{n % 7}.team-{n % 31}.orders-{n}"
        counts = [numbers.randrange(10_000) for _ in range(3)]
        rows.append(QueueRow(queue, f"pool-{n % 3}", *counts, round(numbers.random() * 9000, 3), n % 5))
        counters[queue] = {name: numbers.randrange(1, 10**9) for name in NAMES}
    return Sample(
        at, 5.0, QueueReport(rows, **attributes), counters, [PoolHealth("pool-0", True, True, None, None, 9, "7")]
    )


def test_a_sample_is_read_as_it_was_written():
    sample = sample_of(50, unreachable={"pool-1": "Pool 'pool-1': refused"})
    rows = [
        replace(row, ready=None, delayed=None, claimed=None, oldest_age=None, error="Pool 'pool-1': refused")
        if row.pool == "pool-1"
        else replace(row, paused=True, exact=False)
        for row in sample.report.queues
    ]
    move = MoveRow("orders", "pool-1", "pool-2", "copy", "copying", 7, None, None, None, lives=False, since=1.0)
    sample = replace(sample, report=replace(sample.report, queues=rows), counters={}, moves=[move])

    assert decode(encode(sample)) == sample
    assert decode(encode(sample_of(50))) == sample_of(50)
    assert decode(encode(sample_of(0))) == sample_of(0)


def test_a_sample_of_a_thousand_queues_takes_less_than_sixty_kilobytes():
    assert len(encode(sample_of(1000))) < 60_000


@pytest.mark.parametrize("times", [{"interval": 0.0}, {"interval": math.inf}, {"interval": math.nan}, {"at": math.nan}])
def test_a_sample_at_a_time_that_no_process_can_wait_for_is_refused(times):
    with pytest.raises(CorruptRecord):
        decode(encode(replace(sample_of(1), **times)))


def test_a_sample_of_another_version_is_skipped():
    assert decode(zlib.compress(codec.encode({"version": 2}, 1000))) is None


@pytest.mark.parametrize("record", [b"", b"text", None, 7, zlib.compress(b"\xc1"), zlib.compress(codec.encode({}, 9))])
def test_a_message_that_is_no_sample_is_refused(record):
    with pytest.raises(CorruptRecord):
        decode(record)


def test_a_sample_by_a_clock_that_is_behind_has_no_rates():
    before, after = sample_of(1, at=1000.0), sample_of(1, at=999.0)

    assert after.since(before, None).report.queues[0].rate_in is None
    assert replace(after, at=1001.0).since(before, None).report.queues[0].rate_in == 0


def test_a_history_keeps_the_last_points_and_drops_queues_that_are_gone():
    history = History(max_points=10, max_total=1000)
    for n in range(200):
        history.add(sample_of(2 if n < 150 else 1, at=float(n)))

    kept, gone = (row.queue for row in sample_of(2).report.queues)
    assert [point.at for point in history.points(kept)] == [float(n) for n in range(190, 200)]
    assert history.points(gone) == []
    assert len(history._values[kept]) <= (10 + 60) * 6


def test_a_queue_that_came_later_has_its_points_at_their_times():
    history = History()
    for n in range(5):
        history.add(sample_of(1 if n < 3 else 2, at=float(n)))

    late = sample_of(2).report.queues[1]
    assert [point.at for point in history.points(late.queue)] == [3.0, 4.0]
    assert history.points(late.queue)[0].ready == late.ready
    assert history.points(late.queue)[0].rate_in is None


def test_many_queues_have_fewer_points_each():
    history = History(max_points=100, max_total=40)
    for n in range(100):
        history.add(sample_of(10, at=float(n)))

    assert [point.at for point in history.points(sample_of(10).report.queues[3].queue)] == [96.0, 97.0, 98.0, 99.0]
