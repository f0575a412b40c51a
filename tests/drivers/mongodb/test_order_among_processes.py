"""Claims in quick succession are in the queue's order, whatever other processes post, release and claim meanwhile."""

from __future__ import annotations

import pytest

from kombu_pool.testing import bodies, ids
from tests.support.servers import mongodb

pytestmark = pytest.mark.usefixtures("long_cache", "rare_scans")


@pytest.fixture
def uri():
    return mongodb.fresh_uri()


@pytest.fixture(params=[1, 2], ids=["one by one", "two by two"])
def busy(request, queue):
    """A queue with the messages 4 to 39, of which this process claims one at a time, or two at a time."""
    queue.post(*range(40))
    for first in range(0, 4, request.param):
        assert bodies(queue.claim(limit=request.param)) == [*range(first, first + request.param)]
    return queue


@pytest.fixture(params=["this", "another"])
def author(request, busy, other):
    """The queue as this process sees it, or another one."""
    return busy if request.param == "this" else other


def test_all_come_in_order(busy):
    got = [body for limit in (1, 5, 2, 3, 8, 30) for body in bodies(busy.claim(limit=limit))]

    assert got == [*range(4, 40)]


def test_a_claim_of_one_is_one_command(busy, profiled):
    done = profiled(lambda: busy.claim(limit=1))

    assert [one["command"].get("findAndModify") for one in done] == ["kombu_pool_messages"]


def test_a_claim_of_several_is_a_scan_and_an_update(busy, profiled):
    done = profiled(lambda: busy.claim(limit=2))

    assert [(one["op"], one.get("nModified")) for one in done] == [("query", None), ("update", 2)]


def test_a_higher_priority_is_first_at_once(busy, author):
    author.post("urgent", priority=9)

    assert bodies(busy.claim(limit=2)) == ["urgent", 4]


def test_what_is_released_is_first_at_once(busy, author):
    held = busy.claim(limit=1)
    whole = busy.claim(limit=1)

    author.release(held.id, ids(held))
    assert bodies(busy.claim(limit=1)) == [4]

    author.end(whole.id)
    assert bodies(busy.claim(limit=2)) == [5, 6]


def test_what_is_released_stands_where_it_stood(busy, author):
    middle = ids(busy.page(limit=40)[0])[20]
    held = author.claim_by_id([middle])
    author.release(held.id, [middle])

    assert bodies(busy.claim(limit=2)) == [4, 5]
    assert bodies(busy.claim(limit=1)) == [6]
    assert bodies(busy.claim(limit=40)) == [*range(7, 40)]


def test_a_released_message_of_low_priority_waits_for_all_others(busy, author):
    author.post("later")
    late = ids(busy.page(limit=50)[0])[-1]
    held = author.claim_by_id([late])
    author.release(held.id, [late])
    author.post("urgent", priority=9)

    got = [body for limit in (1, 2, 40) for body in bodies(busy.claim(limit=limit))]

    assert got == ["urgent", *range(4, 40), "later"]


def test_what_another_process_has_claimed_is_not_claimed_again(busy, other):
    claimed = bodies(other.claim(limit=3))
    got = bodies(busy.claim(limit=2)) + bodies(busy.claim(limit=30))

    assert claimed == [4, 5, 6]
    assert got == [*range(7, 39)]
