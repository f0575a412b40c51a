"""No command reads a queue of a million messages to show it."""

from __future__ import annotations

import sqlite3

import pytest
from kombu import Queue

from tests.support.limits import best_of, seconds_of

MILLION = 1_000_000
_FREE = """
WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < :count)
INSERT INTO free(queue, rank, id, claim_count) SELECT :queue, 0, :id + n, 0 FROM n
"""
_DELAYED = """
WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < :count)
INSERT INTO delayed(queue, due, id, rank) SELECT :queue, 4e9 + n, :id + :count + n, 0 FROM n
"""


@pytest.fixture
def long_queue(app, tmp_path):
    """A queue of a million ready and a million delayed messages, of which all but the first have no record."""
    with app.connection_for_write() as connection:
        Queue("orders")(connection.default_channel).declare()
        connection.Producer().publish({}, routing_key="orders")
    store = sqlite3.connect(tmp_path / "control.db")
    with store:
        queue, number = store.execute("SELECT queue, id FROM free").fetchone()
        values = {"queue": queue, "id": number, "count": MILLION}
        store.execute(_FREE, values)
        store.execute(_DELAYED, values)
    store.close()


def test_a_long_queue_is_shown_as_quickly_as_a_short_one(long_queue, ask, pool):
    taken = best_of(lambda: seconds_of(lambda: pool("queues")), 2)

    (row,) = ask("queues")["queues"]
    assert (row["ready"], row["delayed"], row["exact"]) == (100_000, 100_000, False)
    assert pool("queues")[1][1][2:4] == ["100000+", "100000+"]
    assert ask("queue", "orders")["ready"] == 100_000
    assert len(ask("peek", "orders", "--limit", "1")["messages"]) == 1
    assert taken < 5
